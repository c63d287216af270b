# Whose packets reach a backend with the node's address: without a detector for pods, nobody's at a cluster IP.
node n1 192.168.99.11
service shop/cart clusterip=172.30.0.10 clusterip=fd00:172:30::10 port=http:80 nodeport=30001 lb=198.51.100.4
slice shop/cart port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv6 -> shop/cart:http, masquerade
    reject
  [fd00:172:30::10]:80/TCP -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  address fd00:172:30::10 -> cluster IP

# With one, clients that are no pods; IPv6 has no prefix, so nobody can be told from a pod there.
node n1 192.168.99.11 pods=10.180.0.0/16
tables:
  172.30.0.10:80/TCP -> shop/cart:http, masquerade outside
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv6 -> shop/cart:http, masquerade
    reject
  [fd00:172:30::10]:80/TCP -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  address fd00:172:30::10 -> cluster IP
  pod CIDR 10.180.0.0/16

# Policy Local keeps the source at external addresses.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 external-local
tables:
  172.30.0.10:80/TCP -> shop/cart:http, masquerade outside
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  pod CIDR 10.180.0.0/16

# masqueradeAll is about cluster IPs alone.
node n1 192.168.99.11 masquerade-all pods=10.180.0.0/16
tables:
  172.30.0.10:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  pod CIDR 10.180.0.0/16

# Direct server return keeps the source, too.
node n1 192.168.99.11 pods=10.180.0.0/16
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 set:forwarding=dsr
tables:
  172.30.0.10:80/TCP -> shop/cart:http, masquerade outside
    random: 10.180.1.11:8080 (local)
  198.51.100.4:80/TCP -> shop/cart:http, dsr
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, dsr
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address 198.51.100.4 -> external
  pod CIDR 10.180.0.0/16
