# NodePorts answer on the node's addresses and on loopback; a NodePort is one entry for all of them.
node n1 loopback-nodeports 192.168.99.11 192.168.98.11 fd00:192:168:99::11
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001
slice shop/cart port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 127.0.0.1 -> loopback
  address 172.30.0.10 -> cluster IP
  address 192.168.98.11 -> node
  address 192.168.99.11 -> node
  address ::1 -> loopback
  address fd00:192:168:99::11 -> node

# Narrowed to a range, loopback is out with it; IPv6 has no range and stays open.
node n1 loopback-nodeports nodeports=192.168.99.0/24 192.168.99.11 192.168.98.11 fd00:192:168:99::11
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  address ::1 -> loopback
  address fd00:192:168:99::11 -> node

# An address comes, one goes.
node n1 loopback-nodeports 192.168.97.11 192.168.99.11
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 127.0.0.1 -> loopback
  address 172.30.0.10 -> cluster IP
  address 192.168.97.11 -> node
  address 192.168.99.11 -> node
  address ::1 -> loopback

# The NodePort moves.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30002
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30002/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 127.0.0.1 -> loopback
  address 172.30.0.10 -> cluster IP
  address 192.168.97.11 -> node
  address 192.168.99.11 -> node
  address ::1 -> loopback
