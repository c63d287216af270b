# Two Services claim one address and port: the older has it, the other is served where it can be, and it is said.
service shop/old clusterip=172.30.0.10 port=http:80 externalip=198.51.100.22 created=100
service shop/new clusterip=172.30.0.11 port=http:80 externalip=198.51.100.22 created=200
slice shop/old port=http:8080 10.180.1.11@n1
slice shop/new port=http:8080 10.180.1.12@n1
tables:
  172.30.0.10:80/TCP -> shop/old:http
    random: 10.180.1.11:8080 (local)
  172.30.0.11:80/TCP -> shop/new:http
    random: 10.180.1.12:8080 (local)
  198.51.100.22:80/TCP -> shop/old:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 172.30.0.11 -> cluster IP
  address 198.51.100.22 -> external
  problem: Service shop/new: spec.externalIPs: 198.51.100.22:80/TCP is Service shop/old's already, which goes first by cluster IP, age or name; it is not served for this one

# The older lets go: the address changes hands.
service shop/old clusterip=172.30.0.10 port=http:80 created=100
tables:
  172.30.0.10:80/TCP -> shop/old:http
    random: 10.180.1.11:8080 (local)
  172.30.0.11:80/TCP -> shop/new:http
    random: 10.180.1.12:8080 (local)
  198.51.100.22:80/TCP -> shop/new:http, masquerade
    random: 10.180.1.12:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 172.30.0.11 -> cluster IP
  address 198.51.100.22 -> external

# And takes it back.
service shop/old clusterip=172.30.0.10 port=http:80 externalip=198.51.100.22 created=100
tables:
  172.30.0.10:80/TCP -> shop/old:http
    random: 10.180.1.11:8080 (local)
  172.30.0.11:80/TCP -> shop/new:http
    random: 10.180.1.12:8080 (local)
  198.51.100.22:80/TCP -> shop/old:http, masquerade
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 172.30.0.11 -> cluster IP
  address 198.51.100.22 -> external
  problem: Service shop/new: spec.externalIPs: 198.51.100.22:80/TCP is Service shop/old's already, which goes first by cluster IP, age or name; it is not served for this one

# Until it is deleted.
delete service shop/old
tables:
  172.30.0.11:80/TCP -> shop/new:http
    random: 10.180.1.12:8080 (local)
  198.51.100.22:80/TCP -> shop/new:http, masquerade
    random: 10.180.1.12:8080 (local)
  address 172.30.0.11 -> cluster IP
  address 198.51.100.22 -> external
