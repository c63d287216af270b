# A UDP flow may stay on an endpoint that serves but is offered to nobody; a TCP connection needs no leave.
service kube-system/dns clusterip=172.30.0.53 port=dns:53/udp port=dns-tcp:53
slice kube-system/dns port=dns:53/udp port=dns-tcp:53 10.180.1.12@n1 10.180.2.12@n2
tables:
  172.30.0.53:53/TCP -> kube-system/dns:dns-tcp
    random: 10.180.1.12:53 (local), 10.180.2.12:53
  172.30.0.53:53/UDP -> kube-system/dns:dns
    random: 10.180.1.12:53 (local), 10.180.2.12:53
  address 172.30.0.53 -> cluster IP
slice kube-system/dns port=dns:53/udp port=dns-tcp:53 10.180.1.12@n1 10.180.2.12@n2,notready,terminating
tables:
  172.30.0.53:53/TCP -> kube-system/dns:dns-tcp
    random: 10.180.1.12:53 (local)
  172.30.0.53:53/UDP -> kube-system/dns:dns
    random: 10.180.1.12:53 (local)
    draining: 10.180.2.12:53 (terminating)
  address 172.30.0.53 -> cluster IP
slice kube-system/dns port=dns:53/udp port=dns-tcp:53 10.180.1.12@n1 10.180.2.12@n2,notready,notserving,terminating
tables:
  172.30.0.53:53/TCP -> kube-system/dns:dns-tcp
    random: 10.180.1.12:53 (local)
  172.30.0.53:53/UDP -> kube-system/dns:dns
    random: 10.180.1.12:53 (local)
  address 172.30.0.53 -> cluster IP

# A policy keeps new flows here and lets old ones stay where they are.
service kube-system/dns clusterip=172.30.0.53 port=dns:53/udp internal-local
slice kube-system/dns port=dns:53/udp 10.180.1.12@n1 10.180.2.12@n2
tables:
  172.30.0.53:53/UDP -> kube-system/dns:dns
    random: 10.180.1.12:53 (local)
    draining: 10.180.2.12:53
  address 172.30.0.53 -> cluster IP
