# A Service that is deleted leaves nothing; made again it is served again.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 range=203.0.113.0/25
slice shop/cart port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, only from 203.0.113.0/25, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external
delete service shop/cart
tables:
service shop/cart clusterip=172.30.0.12 port=http:80
tables:
  172.30.0.12:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.12 -> cluster IP

# Deleted and made again between two looks is a change like any other.
delete service shop/cart
service shop/cart clusterip=172.30.0.13 port=http:80
tables:
  172.30.0.13:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.13 -> cluster IP
