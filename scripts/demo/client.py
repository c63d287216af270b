# SPDX-License-Identifier: Apache-2.0
"""usage: client.py ADDRESS PORT [--requests N | --seconds S]

Sends HTTP requests, each over a new connection, and counts who answered, second by second. Ends with status 1 if any
request failed.
"""
import argparse
import collections
import socket
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("port", type=int)
parser.add_argument("--requests", type=int, default=10**9)
parser.add_argument("--seconds", type=float, default=60)
args = parser.parse_args()

failures = []
total = collections.Counter()
by_second = collections.defaultdict(collections.Counter)
start = time.monotonic()
for _ in range(args.requests):
    now = time.monotonic() - start
    if now >= args.seconds:
        break
    try:
        with socket.create_connection((args.address, args.port), timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
        who = answer.rpartition(b"\r\n\r\n")[2].decode() or "nobody"
        if who == "nobody":
            failures.append(f"{now:.2f} s: empty answer")
    except OSError as error:
        who = "nobody"
        failures.append(f"{now:.2f} s: {error}")
    total[who] += 1
    by_second[int(now * 2) / 2][who] += 1

for second, counts in sorted(by_second.items()):
    row = "  ".join(f"{who} {n:5d}" for who, n in sorted(counts.items()))
    print(f"  {second:4.1f} s   {row}")
print(f"  total {sum(total.values())}: " + ", ".join(f"{who} {n}" for who, n in sorted(total.items()))
      + f"; {len(failures)} failed")
for failure in failures[:5]:
    print("  " + failure)
sys.exit(1 if failures else 0)
