# A Service is served at its cluster IP from every ready endpoint, wherever it is.
service shop/cart clusterip=172.30.0.10 port=http:80
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2 10.180.3.11@n3,notready
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP

# The endpoints come and go; the last one gone, it rejects.
slice shop/cart port=http:8080 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
delete slice shop/cart-1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP

# Labels hand it to another proxy, and back.
slice shop/cart port=http:8080 10.180.2.11@n2
service shop/cart clusterip=172.30.0.10 port=http:80 other-proxy
tables:
service shop/cart clusterip=172.30.0.10 port=http:80
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
