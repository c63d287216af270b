# Session affinity is the same run with a timeout; it is switched with the entries.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 affinity=60
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http, affinity 60 s
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  NodePort 30001/TCP IPv4 -> shop/cart:http, affinity 60 s, masquerade
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 affinity=10800
tables:
  172.30.0.10:80/TCP -> shop/cart:http, affinity 10800 s
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  NodePort 30001/TCP IPv4 -> shop/cart:http, affinity 10800 s, masquerade
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
