# A new agent run takes the tables over, and catches up with what changed meanwhile.
node n1 192.168.99.11
servicecidr kubernetes 172.30.0.0/16
service shop/cart clusterip=172.30.0.10 port=http:80 lb=198.51.100.4 range=203.0.113.0/25 set:algorithm=maglev
service shop/old clusterip=172.30.0.11 port=http:80 nodeport=30001
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2
slice shop/old port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    maglev: 10.180.1.11:8080 (local) 50%, 10.180.2.11:8080 50%
  172.30.0.11:80/TCP -> shop/old:http
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, only from 203.0.113.0/25, masquerade
    maglev: 10.180.1.11:8080 (local) 50%, 10.180.2.11:8080 50%
  NodePort 30001/TCP IPv4 -> shop/old:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 172.30.0.11 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  service CIDR 172.30.0.0/16
restart
delete service shop/old
slice shop/cart port=http:8080 10.180.2.11@n2 10.180.3.11@n3
service shop/new clusterip=172.30.0.12 port=http:80
servicecidr kubernetes 172.30.0.0/17
node n1 192.168.99.12
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    maglev: 10.180.2.11:8080 50%, 10.180.3.11:8080 50%
  172.30.0.12:80/TCP -> shop/new:http
    reject
  198.51.100.4:80/TCP -> shop/cart:http, only from 203.0.113.0/25, masquerade
    maglev: 10.180.2.11:8080 50%, 10.180.3.11:8080 50%
  address 172.30.0.10 -> cluster IP
  address 172.30.0.12 -> cluster IP
  address 192.168.99.12 -> node
  address 198.51.100.4 -> external
  service CIDR 172.30.0.0/17
