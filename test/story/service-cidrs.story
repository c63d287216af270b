# The ranges in which an address without a Service is dropped.
servicecidr kubernetes 172.30.0.0/16 fd00:172:30::/112
tables:
  service CIDR 172.30.0.0/16
  service CIDR fd00:172:30::/112
servicecidr more 10.96.0.0/12
tables:
  service CIDR 10.96.0.0/12
  service CIDR 172.30.0.0/16
  service CIDR fd00:172:30::/112
delete servicecidr kubernetes
tables:
  service CIDR 10.96.0.0/12
delete servicecidr more
tables:
