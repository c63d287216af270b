# The backend port is the slice's, by port name; a slice that lacks a port leaves it without endpoints.
service shop/cart clusterip=172.30.0.10 port=http:80 port=admin:81 port=stats:82
slice shop/cart port=http:8080 port=admin:9090 10.180.1.11@n1
slice shop/cart name=cart-2 port=http:8081 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8081
  172.30.0.10:81/TCP -> shop/cart:admin
    random: 10.180.1.11:9090 (local)
  172.30.0.10:82/TCP -> shop/cart:stats
    reject
  address 172.30.0.10 -> cluster IP

# Renamed: one port goes, another comes, at the same address.
service shop/cart clusterip=172.30.0.10 port=web:80 port=admin:81
slice shop/cart port=web:8080 port=admin:9090 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:web
    random: 10.180.1.11:8080 (local)
  172.30.0.10:81/TCP -> shop/cart:admin
    random: 10.180.1.11:9090 (local)
  address 172.30.0.10 -> cluster IP
