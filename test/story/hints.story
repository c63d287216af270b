# Zone hints narrow the cluster list if every ready endpoint has one and one is for this zone.
node n1 zone=a
service shop/cart clusterip=172.30.0.10 port=http:80
slice shop/cart port=http:8080 10.180.1.11@n1,zone=a 10.180.2.11@n2,zone=b
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP

# The node moves to a zone without hints: all of them.
node n1 zone=c
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP

# A node hint goes before the zone's.
slice shop/cart port=http:8080 10.180.1.11@n1,zone=c,on=n1 10.180.2.11@n2,zone=c,on=n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local)
  address 172.30.0.10 -> cluster IP

# One without any hint: hints are off.
slice shop/cart port=http:8080 10.180.1.11@n1,zone=c,on=n1 10.180.2.11@n2
tables:
  172.30.0.10:80/TCP -> shop/cart:http
    random: 10.180.1.11:8080 (local), 10.180.2.11:8080
  address 172.30.0.10 -> cluster IP
