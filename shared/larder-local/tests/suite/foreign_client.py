"""Discovers the nodes behind a configuration endpoint and uses each of them.

Prints the address of every node found, one a line, after a value has been stored on it and read back.
"""

import sys

from elasticache_auto_discovery import discover
from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient

KEYS = 500


def main(endpoint):
    found = [(ip.decode(), int(port)) for _host, ip, port in discover(endpoint, time_to_timeout=20)]
    client = HashClient(found, timeout=20, default_noreply=False)
    for i in range(KEYS):
        key, value = f"key-{i}", f"value-{len(found)}-{i}".encode()
        assert client.set(key, value, expire=60), key
        assert client.get(key) == value, key
    many = client.get_many([f"key-{i}" for i in range(KEYS)])
    assert len(many) == KEYS, len(many)
    for node in found:
        stats = Client(node, timeout=20).stats()
        assert stats[b"cmd_set"] > 0 and stats[b"get_hits"] > 0, (node, stats)
        print("%s:%d" % node)


main(sys.argv[1])
