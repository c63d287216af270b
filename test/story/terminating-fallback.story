# Endpoints that terminate but still serve are used while nobody is ready, on every node.
service shop/cart clusterip=172.30.0.10 port=http:80
slice shop/cart port=http:8080 10.180.1.11@n1,notready,terminating 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
slice shop/cart port=http:8080 10.180.1.11@n1,notready,terminating 10.180.2.11@n2,notready,terminating
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local, terminating), 10.180.2.11:8080 (terminating)
  address 172.30.0.10 -> cluster IP

# One that terminates and no longer serves is used by nobody.
slice shop/cart port=http:8080 10.180.1.11@n1,notready,terminating 10.180.2.11@n2,notready,notserving,terminating
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local, terminating)
  address 172.30.0.10 -> cluster IP
slice shop/cart port=http:8080 10.180.1.11@n1,notready,notserving,terminating
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP
