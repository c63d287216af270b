# internalTrafficPolicy Local: the cluster IP is served from this node or not at all; other addresses do not mind.
service shop/cart clusterip=172.30.0.10 port=http:80 internal-local
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
slice shop/cart port=http:8080 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    drop
  address 172.30.0.10 -> cluster IP
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 internal-local
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    drop
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
