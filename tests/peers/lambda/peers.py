"""The Lambda endpoint in front of moto, which checks signatures, and botocore through the gateway.

peers.py WORK-FOLDER MYELIN-BINARY
"""

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

work, binary = sys.argv[1], os.path.abspath(sys.argv[2])
REGION = "eu-west-1"
checked = 0


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{process.args[0]} does not listen")


def check(what, got, expected):
    global checked
    checked += 1
    if got != expected:
        sys.exit(f"{what}:\n  expected {expected!r:.2000}\n  got      {got!r:.2000}")


def client(service, url, key, secret, token=None):
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 0}),
    )


def start_moto():
    port = free_port()
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "1000000"}
    log = open(f"{work}/moto.log", "wb")
    process = subprocess.Popen(
        [os.path.join(os.path.dirname(sys.executable), "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env=env,
        stdout=log,
        stderr=log,
    )
    wait_for(port, process)
    return process, port


def prepare(moto):
    """A user with a key, a role, a function; then signatures are checked."""
    ask(f"{moto}/moto-api/config", "POST", b'{"lambda":{"use_docker":false}}')
    iam = client("iam", moto, "any", "any")
    allow = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"},
                {"Effect": "Allow", "Action": "sts:*", "Resource": "*"},
            ],
        }
    )
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
        }
    )
    iam.create_user(UserName="caller")
    iam.put_user_policy(UserName="caller", PolicyName="all", PolicyDocument=allow)
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    iam.create_user(UserName="nobody")
    nobody = iam.create_access_key(UserName="nobody")["AccessKey"]
    role = iam.create_role(RoleName="assumed", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="assumed", PolicyName="all", PolicyDocument=allow)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", "def handler(event, context): return event")
    made = client("lambda", moto, "any", "any").create_function(
        FunctionName="echo",
        Runtime="python3.12",
        Role=role,
        Handler="f.handler",
        Code={"ZipFile": packed.getvalue()},
    )
    check_signatures(moto, True)
    return key, nobody, role, made["FunctionArn"]


def check_signatures(moto, on):
    count = b"0" if on else b"1000000"
    status, _, answer = ask(f"{moto}/moto-api/reset-auth", "POST", count, {"Content-Type": "text/plain"})
    check(f"moto's own switch ({answer!r})", status, 200)


def configuration(moto, key, nobody, role, arn):
    def keys(access, secret):
        return f'access-key="{access}" secret-key="{secret}"'

    mine = keys(key["AccessKeyId"], key["SecretAccessKey"])
    good = f'region="{REGION}" {mine} endpoint-url="{moto}"'
    endpoints = {
        "static": f'function="echo" {good}',
        "static-off": f'function="echo" response-mapping="off" {good}',
        "v1": f'function="echo" event="apigw-v1" response-mapping="off" {good}',
        "v2": f'function="echo" event="apigw-v2" response-mapping="off" {good}',
        "body": f'function="echo" event="body" {good}',
        "arn": f'function="{arn}" event="body" {mine} endpoint-url="{moto}"',
        "alias": f'function="echo:$LATEST" event="body" {good}',
        "qualifier": f'function="echo" qualifier="$LATEST" event="body" {good}',
        "dynamic": f"function=\"{{get-property('transport', 'x-function')}}\" event=\"body\" {good}",
        "later": f'function="echo" invocation="Event" event="body" {good}',
        "role": f'function="echo" event="body" {good} role-arn="{role}" role-session="peers" role-region="{REGION}" role-endpoint-url="{moto}"',
        "chain": f'function="echo" event="body" region="{REGION}" endpoint-url="{moto}"',
        "wrong-secret": f'function="echo" region="{REGION}" {keys(key["AccessKeyId"], "wrong")} endpoint-url="{moto}"',
        "unknown-key": f'function="echo" region="{REGION}" {keys("AKIAUNKNOWNUNKNOWN00", "wrong")} endpoint-url="{moto}"',
        "denied": f'function="echo" region="{REGION}" {keys(nobody["AccessKeyId"], nobody["SecretAccessKey"])} endpoint-url="{moto}"',
        "unreachable": f'function="echo" region="{REGION}" {mine} endpoint-url="http://127.0.0.1:{free_port()}"',
    }
    resources = "".join(
        f"""
    <resource methods="GET POST PUT" uri-template="/{name}/*">
      <inSequence><call><endpoint name="{name}"><lambda {attributes}><suspendOnFailure><errorCodes>-1</errorCodes></suspendOnFailure></lambda></endpoint></call><respond/></inSequence>
      <faultSequence><payloadFactory media-type="json"><format>{{"code": "$1", "message": "$2"}}</format><args><arg expression="$ctx:ERROR_CODE"/><arg expression="$ctx:ERROR_MESSAGE"/></args></payloadFactory><property name="HTTP_SC" value="599" scope="axis2"/><respond/></faultSequence>
    </resource>"""
        for name, attributes in endpoints.items()
    )
    return f"""<definitions xmlns="http://ws.apache.org/ns/synapse">
  <api name="Functions" context="/f">{resources}
  </api>
  <api name="ThroughAddress" context="/address">
    <resource methods="GET POST PUT DELETE HEAD" uri-template="/*"><inSequence><call><endpoint><address uri="{moto}"/></endpoint></call><respond/></inSequence></resource>
  </api>
  <api name="ThroughHttp" context="/http">
    <resource methods="GET POST PUT DELETE HEAD" uri-template="/{{+rest}}"><inSequence><call><endpoint><http uri-template="{moto}"/></endpoint></call><respond/></inSequence></resource>
  </api>
</definitions>
"""


def start_gateway(text, key):
    folder = f"{work}/gateway"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/synapse.xml", "w") as file:
        file.write(text)
    port = free_port()
    env = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    log = open(f"{work}/gateway.log", "wb")
    process = subprocess.Popen(
        [binary, "run", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", folder],
        env=env,
        stdout=log,
        stderr=log,
    )
    wait_for(port, process)
    return process, f"http://127.0.0.1:{port}"


def of_functions(gateway):
    json_type = {"Content-Type": "application/json"}

    def post(name, body, headers=None, rest=""):
        return ask(f"{gateway}/f/{name}/{rest}", "POST", body, headers or json_type)

    # Bodies of every sort come back as they went: moto echoes the event.
    for what, body, kind in [
        ("an empty body", b"", "application/json"),
        ("UTF-8", '{"a": "ö€😀\\u0000"}'.encode(), "application/json"),
        ("a mebibyte", json.dumps({"x": "y" * (1 << 20)}).encode(), "application/json"),
        ("binary", bytes(range(256)) * 16, "application/octet-stream"),
        ("a form", b"a=1&b=%20", "application/x-www-form-urlencoded"),
        ("text in Latin 1", "grün".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
    ]:
        status, _, answer = post("static-off", body, {"Content-Type": kind}, "a%20b/c?q=1&q=2")
        check(f"the status of {what}", status, 200)
        event = json.loads(answer)
        check(f"the path of {what}", event["path"], "/static-off/*")
        if kind == "application/octet-stream":
            check(what, (event["isBase64Encoded"], base64.b64decode(event["body"])), (True, body))
        elif "charset" in kind:
            check(what, event["body"], "grün")
        else:
            check(what, (event["isBase64Encoded"], event["body"]), (False, body.decode() or "{}"))

    event = json.loads(post("v1", b'{"a": 1}', rest="x?q=1&q=2")[2])
    check("values of a query", event["multiValueQueryStringParameters"], {"q": ["1", "2"]})
    check("the path", (event["path"], event["resource"]), ("/f/v1/x", "/v1/*"))
    event = json.loads(post("v2", b'{"a": 1}', {**json_type, "Cookie": "a=1; b=2"}, "x?q=1&q=2")[2])
    check("version 2", (event["rawPath"], event["rawQueryString"], event["cookies"]), ("/f/v2/x", "q=1&q=2", ["a=1", "b=2"]))

    for name in ["body", "arn", "alias", "qualifier", "role", "chain"]:
        check(name, post(name, b'{"a":1}')[::2], (200, b'{"a":1}'))
    check("a computed name", post("dynamic", b'{"a":1}', {**json_type, "X-Function": "echo"})[::2], (200, b'{"a":1}'))
    status, _, answer = post("dynamic", b"{}", {**json_type, "X-Function": "../../x"})
    check("no name", (status, json.loads(answer)["code"]), (599, "0"))
    check("later", post("later", b'{"a":1}')[::2], (202, b""))
    mapped = post("body", json.dumps({"statusCode": 418, "headers": {"X-A": "b"}, "body": "tea"}).encode())
    check("a reply that is an answer", (mapped[0], mapped[1]["x-a"], mapped[2]), (418, "b", b"tea"))

    for name, code in [("wrong-secret", "303003"), ("unknown-key", "303003"), ("denied", "320004"), ("unreachable", "101503")]:
        status, _, answer = post(name, b"{}")
        told = json.loads(answer)
        check(name, (status, told["code"]), (599, code))
        check(f"{name} tells nothing", [word for word in ("arn:", "123456789012", "AKIA") if word in told["message"]], [])


def through(moto, gateway, key):
    """botocore gets the same through an endpoint as directly."""

    def results(url, keep_host):
        functions = client("lambda", url, key["AccessKeyId"], key["SecretAccessKey"])
        if keep_host:
            # The signature is over the host that the client knows: the gateway's.
            functions.meta.events.register("before-sign.lambda", lambda request, **_: None)
        told = []

        def note(call):
            try:
                told.append(call())
            except ClientError as error:
                told.append((error.response["Error"], error.response["ResponseMetadata"]["HTTPStatusCode"]))

        def invoke(**more):
            answer = functions.invoke(FunctionName="echo", **more)
            return answer["StatusCode"], answer["Payload"].read(), answer.get("FunctionError")

        note(lambda: invoke(Payload=b'{"a": 1}'))
        note(lambda: invoke(Payload=json.dumps({"x": "ö" * (1 << 19)}).encode()))
        note(lambda: invoke())
        note(lambda: invoke(InvocationType="Event", Payload=b"{}"))
        note(lambda: [function["FunctionName"] for function in functions.list_functions()["Functions"]])
        note(lambda: functions.get_function(FunctionName="echo")["Configuration"]["CodeSha256"])
        note(lambda: functions.get_function(FunctionName="none"))
        note(lambda: functions.publish_version(FunctionName="none"))
        return told

    direct = results(moto, False)
    check("direct calls", direct[0][:2], (200, b'{"a": 1}'))
    for name in ["address", "http"]:
        passed = results(f"{gateway}/{name}", True)
        for one, other in zip(direct, passed):
            check(f"botocore through {name}", other, one)


moto_process, moto_port = start_moto()
gateway_process = None
try:
    moto = f"http://127.0.0.1:{moto_port}"
    key, nobody, role, arn = prepare(moto)
    gateway_process, gateway = start_gateway(configuration(moto, key, nobody, role, arn), key)
    of_functions(gateway)
    # A signature is over host and path, which a gateway changes: as a client through it, botocore is not checked.
    check_signatures(moto, False)
    through(moto, gateway, key)
finally:
    for process in (gateway_process, moto_process):
        if process:
            process.terminate()
            process.wait()
print(f"{checked} answers of AWS's and its clients' were as expected")
