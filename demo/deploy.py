"""Deploys to this machine, with no account: a local cluster, and in an emulator of AWS in front of it what reads and follows nodes.
Writing, lists and scaling are left out, as the template leaves them out unless told otherwise.

`make deploy-local` runs it after `tools/prepare compiler memcached lambda sam emulator`. It says what can be tried and then
waits for ctrl-C. What it starts it stops, whichever way it ends. Exit code: 0 after ctrl-C, 1 if it could not be done.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import zipfile
from pathlib import Path

from cluster import Cluster
from emulator import Emulator
from flights import DATABASE, load_flights
from shell import Failed, run
from stack import Stack, build, can_run_here


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        if not can_run_here():
            raise Failed("functions are built for Linux, and the emulator runs them on this machine")
        print("Building; the first time takes a few minutes.", flush=True)
        run("cargo", "build", "--quiet", "--bin", "larder")
        load_flights()
        build()
        with Cluster() as cluster, emulator_beside(cluster) as emulator:
            print("Deploying.", flush=True)
            tell(cluster, emulator, flights_stack(emulator, cluster))
            signal.pause()
    except Failed as failure:
        print(f"\ndeploy: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEverything is stopped.")
    return 0


def emulator_beside(cluster: Cluster) -> Emulator:
    """An emulator whose functions know the names of the nodes, for which there is no DNS here."""
    return Emulator(LARDER_HOSTS_FILE=cluster.status["hosts_file"])


def flights_stack(emulator: Emulator, cluster: Cluster, **parameters: str) -> Stack:
    """The application in front of `cluster`, with the flights behind it."""
    about_the_cluster = {
        "ConfigEndpoint": cluster.status["config_endpoint"],
        "ClusterName": cluster.name,
        "CacheTls": "off",
    }
    # The emulator unpacks a layer elsewhere than into /opt: the functions read the file where it is.
    here = {"OriginLayerArn": layer(emulator, DATABASE), "OriginFile": str(DATABASE), "Authorization": "NONE"}
    return Stack(emulator, "larder", **about_the_cluster, **here, **parameters)


def layer(emulator: Emulator, file: Path) -> str:
    """The ARN of a layer that holds `file` at its top."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(file, file.name)
    name = file.name.replace(".", "-")
    published = emulator.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": content.getvalue()})
    return published["LayerVersionArn"]


def tell(cluster: Cluster, emulator: Emulator, stack: Stack) -> None:
    """Says what is there and what can be done with it."""
    notice = json.dumps({"ElastiCache:AddCacheNodeComplete": cluster.name})
    invocations = f"{emulator.url}/2015-03-31/functions/{stack.outputs['RingRefreshFunctionName']}/invocations"
    larder = f"{LARDER} local"
    place = " ".join(cluster.place)
    endpoint = cluster.status["config_endpoint"]
    print(
        f"""
Three nodes, and the stack `larder` in front of them at {emulator.url}. In another terminal:

A flight, first from SQLite, then from a node (header x-cache):

  curl -si http://{stack.records_host}:{emulator.port}/records/flights/1

Another node, and the notice that ElastiCache would publish of it:

  {larder} add-node {place}
  curl -s {emulator.url} -d Action=Publish -d TopicArn={stack.outputs["CacheNoticesTopicArn"]} \\
       --data-urlencode 'Message={notice}'

What the schedule does every five minutes, at once:

  curl -s {invocations} -d '{{"reconcile":true}}'

The nodes, and which ring the fleet uses:

  {larder} status {place}
  {LARDER} ring show --config-endpoint {endpoint} --hosts-file {cluster.status["hosts_file"]}

Logs of the functions: target/demo/emulator.log. Ctrl-C ends it all.""",
        flush=True,
    )


LARDER = "target/debug/larder"


if __name__ == "__main__":
    sys.exit(main())
