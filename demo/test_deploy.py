"""Deploys all of the application to an emulator, and sees the part that reads follow a node that comes.

`make test-deploy` runs it after `tools/prepare compiler memcached lambda sam emulator`. It says what it sees. What it starts it
stops, whichever way it ends. Exit code: 0 if all was as it must be, 1 if not, 130 after ctrl-C.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cluster import Cluster, Node
from deploy import emulator_beside, flights_stack, layer
from emulator import Emulator
from flights import load_flights
from shell import ROOT, WORK, Failed, run
from stack import Answer, Stack, build, can_run_here

FLIGHT = "1"
QUICK = {"RingCheckIntervalMs": "100", "WarmSecs": "5"}
KEPT_BACK = {
    "malformed 0",
    "node-replacement-scheduled 0",
    "odd-case 0",
    "parameters-changed 0",
    "service-update 0",
    "two-records 0",
}
"""Notices that need nobody, and those that SNS cannot read as we do: it takes JSON alone, and minds the case."""
FOLLOW_SECS = 60
"""How long the fleet may take to follow a notice, on a busy machine."""
NODE_SECS = 5
"""How long a node may take to answer."""


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    if not can_run_here():
        say("SKIPPED: functions are built for Linux, and the emulator runs them on this machine")
        return 0
    try:
        say("building")
        run("cargo", "build", "--quiet", "--bin", "larder")
        load_flights()
        build()
        with Cluster() as cluster, emulator_beside(cluster) as emulator:
            what_would_answer_503_is_refused(emulator)
            everything_can_be_deployed_and_deleted(emulator)
            few_choices_can_be_deployed_and_deleted(emulator)
            stack = flights_stack(emulator, cluster, DiscoveryIntervalSecs="3600", **QUICK)
            only_what_matters_is_let_through(stack)
            a_notice_reaches_whoever_reads(cluster, stack)
        return 0
    except Failed as failure:
        print(f"test-deploy: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("test-deploy: interrupted, everything is stopped", file=sys.stderr)
        return 130


def what_would_answer_503_is_refused(emulator: Emulator) -> None:
    """By rules, before anything is made; the text of each says which parameter to give."""
    for missing, rule, parameters in (
        ("OriginLayerArn", "FileComesWithALayer", {}),
        ("OriginUrl", "ServerIsNamed", {"Origin": "postgres"}),
        ("OriginPolicyArn", "DynamodbAsksForRights", {"Origin": "dynamodb"}),
    ):
        check(is_refused(emulator, rule, missing, **parameters), f"{parameters} was not refused for want of {missing}")
    say("a deployment with defaults, a server without an address and DynamoDB without rights are refused")


def everything_can_be_deployed_and_deleted(emulator: Emulator) -> None:
    """With every resource that the template can make, the cluster included, but for rules of groups that others have, which the
    emulator cannot make. The emulator's cluster has nodes on paper only."""
    choices = {
        "Scaling": "on",
        "ElastiCacheApi": "endpoint",
        "ReserveConcurrency": "on",
        "Writing": "on",
        "ListsFile": "/opt/lists.json",
        "Origin": "postgres",
        "OriginUrl": "postgres://larder:secret@db.local/air?sslmode=verify-full&sslrootcert=/opt/global-bundle.pem",
        "OriginPolicyArn": policy(emulator, "reads-the-origin"),
        "OriginWritePolicyArn": policy(emulator, "writes-the-origin"),
        "OriginLayerArn": layer(emulator, ROOT / "demo" / "lists.json"),
    }
    for missing, rule in (("OriginLayerArn", "ListsComeWithALayer"), ("OriginWritePolicyArn", "WriterHasRightsOfItsOwn")):
        others = {name: value for name, value in choices.items() if name != missing}
        check(is_refused(emulator, rule, missing, **others), f"without {missing} the rule {rule} did not forbid it")
    stack = Stack(emulator, "everything", **choices)
    functions = {f"{name}FunctionName" for name in ("Read", "Write", "Invalidate", "TopN", "RingRefresh", "Scale")}
    check(functions | {"ListsUrl"} <= stack.outputs.keys(), f"the whole template left something out: {stack.outputs}")
    rights = {name: stack.policies_of(name) for name in ("Read", "TopN", "Write", "Invalidate", "RingRefresh", "Scale")}
    reads, writes, none = ["reads-the-origin"], ["writes-the-origin"], []
    expected = {"Read": reads, "TopN": reads, "Write": writes, "Invalidate": none, "RingRefresh": none, "Scale": none}
    check(rights == expected, f"the functions have the rights {rights}")
    check(stack.origin_url() == choices["OriginUrl"], f"read is told of the origin {stack.origin_url()}")
    ports = stack.egress_ports()
    check(ports == {5432, 11211}, f"the functions may reach the ports {ports}")
    stack.delete()
    say("everything in the template is deployed, each function with its own rights at the origin, and deleted again")


def few_choices_can_be_deployed_and_deleted(emulator: Emulator) -> None:
    """A stack that reads DynamoDB and makes its own cluster, with nothing that may be left out."""
    stack = Stack(emulator, "small", Origin="dynamodb", OriginPolicyArn=policy(emulator, "reads-dynamodb"))
    check(stack.origin_url().startswith("dynamodb:"), f"read is told of the origin {stack.origin_url()}")
    ports = stack.egress_ports()
    check(ports == {443, 11211}, f"the functions may reach the ports {ports}")
    check("ListsUrl" not in stack.outputs, f"there are lists: {stack.outputs}")
    stack.delete()
    say("a stack of few choices over DynamoDB is deployed and deleted again")


def is_refused(emulator: Emulator, rule: str, missing: str, **parameters: str) -> bool:
    """Whether this rule of the template forbids to deploy it so, and says what is `missing`."""
    try:
        Stack(emulator, "refused", **parameters)
    except Failed:
        said = (WORK / "sam-deploy-refused.log").read_text()
        return f"rule {rule} failed" in said and missing in said
    return False


def policy(emulator: Emulator, name: str) -> str:
    """The ARN of a managed policy that stands for rights at an origin."""
    statement = {"Effect": "Allow", "Action": "dynamodb:DescribeTable", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return emulator.client("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]


def only_what_matters_is_let_through(stack: Stack) -> None:
    """Of the notices in `events/ring-refresh`, by the filter of the deployed subscription; a queue stands for the function."""
    sns, sqs = stack.emulator.client("sns"), stack.emulator.client("sqs")
    topic = sns.create_topic(Name="notices")["TopicArn"]
    queue = sqs.create_queue(QueueName="notices")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    attributes = {"RawMessageDelivery": "true", **stack.filter_policy()}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)

    notices = dict(messages_of_events())
    check(KEPT_BACK < notices.keys(), f"some of {KEPT_BACK} are no events")
    for message in notices.values():
        sns.publish(TopicArn=topic, Message=message)
    due = {name: message for name, message in notices.items() if name not in KEPT_BACK}
    got: list[str] = []
    wait_for(
        lambda: got.extend(received(sqs, queue)) or set(got) >= set(due.values()),
        lambda: f"of {sorted(due)} came only {got}",
    )
    got.extend(received(sqs, queue))
    extra = set(got) - set(due.values())
    check(not extra, f"what needs nobody came, too: {extra}")
    say(f"of {len(notices)} notices {len(due)} are let through to ring-refresh")


def messages_of_events() -> Iterator[tuple[str, str]]:
    """The messages of SNS in `events/ring-refresh`, by file and number of the record."""
    for file in sorted((ROOT / "events" / "ring-refresh").glob("*.json")):
        for number, record in enumerate(json.loads(file.read_text()).get("Records", [])):
            if "Sns" in record:
                yield f"{file.stem} {number}", record["Sns"]["Message"]


def received(sqs, queue: str) -> list[str]:
    """What is in the queue now, taken out of it; at most ten."""
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in messages]


def a_notice_reaches_whoever_reads(cluster: Cluster, stack: Stack) -> None:
    """From the topic through `ring-refresh` and the nodes to `read`, which could not hear of the node otherwise in an hour."""
    first, second = stack.ask_for_flight(FLIGHT), stack.ask_for_flight(FLIGHT)
    check((first.status, first.cache) == (200, "miss"), f"the first answer was {first}")
    check((second.cache, second.node) == ("hit", first.node), f"after {first} came {second}")
    over_http = stack.get_flight(FLIGHT)
    check(over_http == second, f"over HTTP came {over_http} and not {second}")
    say(f"read answers from {first.node}, also over HTTP")

    stack.reconcile()
    old = the_one_ring(cluster)
    check(old.is_active_with(cluster.nodes), f"after the first look at the nodes the ring was {old}")
    say(f"ring-refresh publishes epoch {old.epoch} with {len(cluster.nodes)} nodes")

    added = cluster.add_node()
    flight = cluster.flight_on(added)
    before = stack.ask_for_flight(flight)
    check(before.node != added.address, f"read knew of {added.address} before anybody said so")

    began = time.monotonic()
    stack.publish({"ElastiCache:AddCacheNodeComplete": cluster.name})
    new = wait_for(lambda: ring_with(cluster, added), lambda: f"no ring has {added}; the nodes have {rings(cluster)}")
    check(new.epoch > old.epoch, f"epoch {new.epoch} came after {old.epoch}")
    say(f"epoch {new.epoch} has node {added.id}, {time.monotonic() - began:.1f} s after the notice")

    wait_for(
        lambda: answer_from(stack, flight, added),
        lambda: f"read did not follow to {added}; it answers {stack.ask_for_flight(flight)}",
    )
    say(f"read answers flight {flight} from it, {time.monotonic() - began:.1f} s after the notice")


@dataclass(frozen=True)
class Ring:
    """A ring document, as far as it is looked at here."""

    epoch: int
    phase: str
    nodes: frozenset[str]
    """`host:port` of each."""

    def is_active_with(self, nodes: list[Node]) -> bool:
        return self.phase == "active" and self.nodes == {node.address for node in nodes}


def rings(cluster: Cluster) -> list[Ring | None]:
    """The ring document on each node, by a plain socket; `None` where there is none."""
    return [ring_on(node) for node in cluster.nodes]


def ring_on(node: Node) -> Ring | None:
    with socket.create_connection((node.ip, node.port), timeout=NODE_SECS) as stream:
        stream.sendall(b"mg larder~ring f v\r\n")
        reply = stream.makefile("rb")
        code, *rest = reply.readline().split()
        if code != b"VA":
            return None
        document = json.loads(reply.read(int(rest[0])))
    # Nodes are named once and then numbered; a name may have a weight and an address behind its port.
    addresses = [":".join(name.split("@")[0].split(":")[:2]) for name in document["names"]]
    nodes = frozenset(addresses[number] for number in document["nodes"])
    return Ring(document["epoch"], document["phase"], nodes)


def the_one_ring(cluster: Cluster) -> Ring:
    """The ring that all nodes have."""
    found = set(rings(cluster))
    ring = next(iter(found))
    check(len(found) == 1 and ring is not None, f"the nodes have the rings {found}")
    return ring


def ring_with(cluster: Cluster, added: Node) -> Ring | None:
    """The ring on all nodes, once it is active with all of them, `added` included."""
    found = set(rings(cluster))
    ring = next(iter(found))
    return ring if len(found) == 1 and ring is not None and ring.is_active_with(cluster.nodes) else None


def answer_from(stack: Stack, flight: str, node: Node) -> Answer | None:
    answer = stack.ask_for_flight(flight)
    return answer if answer.status == 200 and answer.node == node.address else None


def wait_for(what: Callable, otherwise: Callable[[], str]):
    """Asks `what` until it answers something, for at most `FOLLOW_SECS`; `otherwise` says what came instead."""
    deadline = time.monotonic() + FOLLOW_SECS
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.1)
    raise Failed(otherwise())


def check(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Failed(otherwise)


def say(what: str) -> None:
    print(f"test-deploy: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
