# Each family is a service of its own, with the slices of that family.
service shop/cart clusterip=172.30.0.10 clusterip=fd00:172:30::10 port=http:80 nodeport=30001
slice shop/cart port=http:8080 10.180.1.11@n1
slice shop/cart name=cart-v6 port=http:8080 fd00:10:180:2::11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv6 -> shop/cart:http, masquerade
    random: [fd00:10:180:2::11]:8080
  [fd00:172:30::10]:80/TCP -> shop/cart:http
    random: [fd00:10:180:2::11]:8080
  address 172.30.0.10 -> cluster IP
  address fd00:172:30::10 -> cluster IP

# One family loses its endpoints, the other goes on.
delete slice shop/cart-v6
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv6 -> shop/cart:http, masquerade
    reject
  [fd00:172:30::10]:80/TCP -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP
  address fd00:172:30::10 -> cluster IP

# Down to a single stack.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
