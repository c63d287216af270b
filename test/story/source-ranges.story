# Source ranges guard the load balancer's address alone.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 externalip=198.51.100.22 range=203.0.113.0/25 range=10.180.0.0/16
slice shop/cart port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  198.51.100.22:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, only from 10.180.0.0/16 203.0.113.0/25, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.22 -> external
  address 198.51.100.4 -> external

# Others instead.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 range=203.0.113.128/25
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, only from 203.0.113.128/25, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external

# Of the other family only: this family is open.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 range=fd00:203::/32
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external
