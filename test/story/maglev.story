# Maglev by annotation, with weights; each backend is once in the run and weighs in the ring.
service shop/cart clusterip=172.30.0.10 port=http:80 set:algorithm=maglev set:weights=10.180.1.11=3
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2 10.180.3.11@n3
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    maglev: 10.180.1.11:8080 (local) 60%, 10.180.2.11:8080 20%, 10.180.3.11:8080 20%
  address 172.30.0.10 -> cluster IP

# The same weights for random are copies.
service shop/cart clusterip=172.30.0.10 port=http:80 set:weights=10.180.1.11=3
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local) x3, 10.180.2.11:8080, 10.180.3.11:8080
  address 172.30.0.10 -> cluster IP

# A word nobody knows is said, and random it is.
service shop/cart clusterip=172.30.0.10 port=http:80 set:algorithm=fastest
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080, 10.180.3.11:8080
  address 172.30.0.10 -> cluster IP
  problem: Service shop/cart: annotation fairlead.io/algorithm: expected random or maglev, got "fastest"; random is used

# Maglev for all by default.
node n1 algorithm=maglev
service shop/cart clusterip=172.30.0.10 port=http:80
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    maglev: 10.180.1.11:8080 (local) 33%, 10.180.2.11:8080 33%, 10.180.3.11:8080 33%
  address 172.30.0.10 -> cluster IP
