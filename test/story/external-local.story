# externalTrafficPolicy Local: outside clients are served here or not at all, clients inside from everywhere.
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4 external-local
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  198.51.100.4:80/TCP from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external

# Nobody here: dropped, since there are endpoints elsewhere.
slice shop/cart port=http:8080 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.2.11:8080
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    random: 10.180.2.11:8080
  198.51.100.4:80/TCP from outside -> shop/cart:http
    drop
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    random: 10.180.2.11:8080
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    drop
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external

# Nobody here is ready, but one still serves: outside goes to it, inside to the ready one.
slice shop/cart port=http:8080 10.180.1.11@n1,notready,terminating 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.2.11:8080
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    random: 10.180.2.11:8080
  198.51.100.4:80/TCP from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local, terminating)
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    random: 10.180.2.11:8080
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    random: 10.180.1.11:8080 (local, terminating)
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external

# No endpoint anywhere: rejected.
delete slice shop/cart-1
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    reject
  198.51.100.4:80/TCP -> shop/cart:http, outside differs
    reject
  198.51.100.4:80/TCP from outside -> shop/cart:http
    reject
  NodePort 30001/TCP IPv4 -> shop/cart:http, outside differs
    reject
  NodePort 30001/TCP IPv4 from outside -> shop/cart:http
    reject
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external

# And policy Cluster again.
slice shop/cart port=http:8080 10.180.1.11@n1 10.180.2.11@n2
service shop/cart clusterip=172.30.0.10 port=http:80 nodeport=30001 lb=198.51.100.4
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  198.51.100.4:80/TCP -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  NodePort 30001/TCP IPv4 -> shop/cart:http, masquerade
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
  address 198.51.100.4 -> external
