"""The application as `template.yaml` has it, built for this machine by `sam build` and deployed by `sam deploy`."""

from __future__ import annotations

import json
import platform
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from emulator import Emulator
from shell import ROOT, WORK, Failed, run_to_log

SAM = str(ROOT / ".tools" / "sam" / "bin" / "sam")
BUILT = ROOT / "target" / "deploy"
"""What `sam build` makes: a template, and a folder for every function."""
TEMPLATE = BUILT / "emulator.json"
"""The template as the emulator takes it."""

BUILD_SECS = 1800
DEPLOY_SECS = 120
ANSWER_SECS = 30
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

OVER_EXPRESSIONS = ("CacheBypassed", "CacheEvictions", "NodesNeedAPerson", "TooFewNodes", "TooManyNodes")
"""Alarms that MiniStack refuses, because its CloudFormation knows metrics by name and no expressions over them. They get a metric
that nobody writes, so that what refers to them can still do so."""


@dataclass(frozen=True)
class Answer:
    """What the function `read` answered."""

    status: int
    cache: str
    """Header `x-cache`: where the record came from."""
    node: str
    """Header `x-cache-node`: `host:port` of the node that answered."""


def build() -> None:
    """Builds all functions of the template, unoptimised: fat link-time optimisation takes minutes for each."""
    WORK.mkdir(parents=True, exist_ok=True)
    settings = {
        "SAM_BUILD_MODE": "debug",
        # The linker of this machine; zig is for other machines.
        "CARGO_LAMBDA_COMPILER": "cargo",
        # Without line numbers the functions are half as large to upload.
        "CARGO_PROFILE_DEV_DEBUG": "0",
    }
    where = ("--template", "template.yaml", "--build-dir", str(BUILT))
    parameters = ("--parameter-overrides", f"Architecture={architecture()}")
    run_to_log(SAM, "build", *where, *parameters, log="sam-build.log", most_secs=BUILD_SECS, **settings)
    template = yaml.safe_load((BUILT / "template.yaml").read_text())
    TEMPLATE.write_text(json.dumps(for_emulator(template), indent=1))


def can_run_here() -> bool:
    """Whether this machine runs functions as they are built for Lambda: as processes of Linux."""
    return sys.platform == "linux"


def architecture() -> str:
    """What Lambda calls this machine's processor."""
    machine = platform.machine().lower()
    if machine not in ARCHITECTURES:
        raise Failed(f"Lambda has no processors such as this machine's: {machine}")
    return ARCHITECTURES[machine]


def for_emulator(template: dict) -> dict:
    """`template` with what MiniStack does not know replaced; nothing else."""
    for name in OVER_EXPRESSIONS:
        alarm = template["Resources"][name]["Properties"]
        del alarm["Metrics"]
        alarm |= {"Namespace": "Nobody", "MetricName": name, "Statistic": "Sum", "Period": 60}
    return template


class Stack:
    """A stack of the template in the emulator."""

    def __init__(self, emulator: Emulator, name: str, **parameters: str) -> None:
        """Deploys it, into the network that the emulator has; `parameters` are those of the template."""
        self.emulator = emulator
        self.name = name
        network = emulator.client("ec2")
        vpc = network.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in network.describe_subnets()["Subnets"]]
        parameters |= {"VpcId": vpc, "SubnetIds": ",".join(subnets), "Architecture": architecture()}
        flags = ("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar")
        overrides = ("--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items()))
        what = ("--template-file", str(TEMPLATE), "--stack-name", name)
        run_to_log(SAM, "deploy", *what, *flags, *overrides, log=f"sam-deploy-{name}.log", most_secs=DEPLOY_SECS)
        stack = emulator.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        self.outputs: dict[str, str] = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    @property
    def records_host(self) -> str:
        """The name of the HTTP API here. Curl and browsers know what is called localhost, Python does not."""
        api = self.outputs["RecordsUrl"].removeprefix("https://").split(".")[0]
        return f"{api}.execute-api.localhost"

    def get_flight(self, id: str) -> Answer:
        """Has the deployed `read` answer for a flight, by way of the HTTP API."""
        url = f"{self.emulator.url}/records/flights/{id}"
        request = urllib.request.Request(url, headers={"Host": self.records_host})
        with urllib.request.urlopen(request, timeout=ANSWER_SECS) as answer:
            return an_answer(answer.status, answer.headers)

    def ask_for_flight(self, id: str) -> Answer:
        """Has the deployed `read` answer for a flight."""
        event = json.loads((ROOT / "events" / "one-record.json").read_text())
        path = f"/records/flights/{id}"
        event["rawPath"] = event["requestContext"]["http"]["path"] = path
        event["pathParameters"]["id"] = id
        answer = self.invoke(self.outputs["ReadFunctionName"], event)
        return an_answer(answer["statusCode"], answer["headers"])

    def reconcile(self) -> dict:
        """Has the deployed `ring-refresh` compare ring and nodes, as the schedule does."""
        return self.invoke(self.outputs["RingRefreshFunctionName"], {"reconcile": True})

    def publish(self, notice: dict[str, str]) -> None:
        """Publishes `notice` to the topic, as ElastiCache would."""
        topic = self.outputs["CacheNoticesTopicArn"]
        self.emulator.client("sns").publish(TopicArn=topic, Message=json.dumps(notice))

    def filter_policy(self) -> dict[str, str]:
        """What the subscription of `ring-refresh` lets through, as attributes of a subscription."""
        sns = self.emulator.client("sns")
        found = sns.list_subscriptions_by_topic(TopicArn=self.outputs["CacheNoticesTopicArn"])["Subscriptions"]
        attributes = sns.get_subscription_attributes(SubscriptionArn=found[0]["SubscriptionArn"])["Attributes"]
        return {name: attributes[name] for name in ("FilterPolicy", "FilterPolicyScope")}

    def origin_url(self) -> str:
        """What the deployed `read` is told of its origin."""
        told = self.emulator.client("lambda").get_function_configuration(FunctionName=self.outputs["ReadFunctionName"])
        return told["Environment"]["Variables"]["LARDER_ORIGIN_URL"]

    def egress_ports(self) -> set[int]:
        """The ports that the functions may reach, by the group that they all have."""
        group = self.outputs["FunctionSecurityGroupId"]
        found = self.emulator.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        return {rule["FromPort"] for rule in found["IpPermissionsEgress"] if "FromPort" in rule}

    def policies_of(self, function: str) -> list[str]:
        """The names of the managed policies that a function's role has, by the function's name in the template."""
        cloudformation, iam = self.emulator.client("cloudformation"), self.emulator.client("iam")
        role = cloudformation.describe_stack_resource(StackName=self.name, LogicalResourceId=f"{function}Role")
        name = role["StackResourceDetail"]["PhysicalResourceId"]
        return [policy["PolicyName"] for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]]

    def delete(self) -> None:
        """Deletes the stack and waits until it is gone."""
        cloudformation = self.emulator.client("cloudformation")
        cloudformation.delete_stack(StackName=self.name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": DEPLOY_SECS}
        )

    def invoke(self, function: str, event: dict) -> dict:
        """Invokes `function` and answers what it answers."""
        answer = self.emulator.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise Failed(f"{function} failed on {event}: {payload}; see {self.emulator.process.log}")
        return payload


def an_answer(status: int, headers: Mapping[str, str]) -> Answer:
    return Answer(status, headers.get("x-cache", "-"), headers.get("x-cache-node", "-"))
