# External IPs are served as they stand in the Service, one that is a node address too; its NodePorts stay.
node n1 192.168.99.11
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 externalip=198.51.100.22 externalip=192.168.99.11
slice shop/cart port=http:8080 10.180.1.11@n1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  192.168.99.11:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  198.51.100.22:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> external, node
  address 198.51.100.22 -> external

# Refused by configuration (CVE-2020-8554).
node n1 refuse-external-ips 192.168.99.11
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 192.168.99.11 -> node
  problem: Service shop/cart: spec.externalIPs: refused by configuration; the service is not served on them
