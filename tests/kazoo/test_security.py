"""TLS and SASL as kazoo speaks them, to a node that zoo.cfg and Java's properties set up.

The certificates are made by openssl on the command line. Those of version 1 are what kazoo's
own test suite makes: webpki and the like refuse them, Java and we do not.
"""

import os
import shutil
import subprocess

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.security import make_acl

from node import Node

pytestmark = pytest.mark.innkeeper

JAAS = """Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super="super_secret"
    user_jaasuser="jaas_password";
};
"""
AUTH = "org.apache.zookeeper.server.auth"


def openssl(*arguments):
    if shutil.which("openssl") is None:
        message = "openssl is not here: install it, its package has the same name"
        # A skip in CI would be a failure that nobody sees.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.certificate = folder / "ca.pem"
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=ca.kazoo.org"),
            *("-keyout", str(folder / "ca.key"), "-out", str(self.certificate)),
        )

    def issue(self, name, subject):
        """A key and a certificate of version 1: without extensions, openssl makes no other."""
        key, request, certificate = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject),
            *("-keyout", str(key), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-days", "1", "-set_serial", "7", "-in", str(request)),
            *("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"), "-out", str(certificate)),
        )
        return str(key), str(certificate)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure_node(tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("secure")
    key, certificate = authority.issue("localhost", "/CN=localhost")
    own = folder / "own.p12"
    openssl(
        *("pkcs12", "-export", "-inkey", key, "-in", certificate, "-certfile", str(authority.certificate)),
        *("-passout", "pass:apassword", "-out", str(own)),
    )
    jaas = folder / "jaas.conf"
    jaas.write_text(JAAS)
    node = Node(
        folder,
        "-Dzookeeper.client.portUnification=true",
        "-Dzookeeper.ssl.clientAuth=want",
        f"-Dzookeeper.ssl.keyStore.location={own}",
        "-Dzookeeper.ssl.keyStore.password=apassword",
        f"-Dzookeeper.ssl.trustStore.location={authority.certificate}",
        f"-Dzookeeper.authProvider.1={AUTH}.SASLAuthenticationProvider",
        f"-Djava.security.auth.login.config={jaas}",
    ).start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def tls(connect, secure_node, authority):
    """Makes clients over TLS, with a certificate or without."""

    def make(own=(None, None)):
        return connect(
            node=secure_node,
            use_ssl=True,
            ca=str(authority.certificate),
            keyfile=own[0],
            certfile=own[1],
        )

    return make


def sasl(user, password):
    return {"mechanism": "DIGEST-MD5", "username": user, "password": password}


def test_a_certificate_is_an_identity(connect, secure_node, tls, authority):
    own = authority.issue("client", "/C=DE/O=Example, Inc./CN=a client")
    owner = tls(own)
    owner.create("/by-certificate", b"mine", acl=[make_acl("auth", "", all=True)])
    (entry,) = owner.get_acls("/by-certificate")[0]
    assert (entry.id.scheme, entry.id.id) == ("x509", "CN=a client,O=Example\\, Inc.,C=DE")
    for other in (connect(node=secure_node), tls(), tls(authority.issue("other", "/CN=other"))):
        with pytest.raises(NoAuthError):
            other.get("/by-certificate")
    assert tls(own).get("/by-certificate")[0] == b"mine"


def test_tls_carries_large_data_and_watches(tls, authority):
    client = tls(authority.issue("worker", "/CN=worker"))
    data = os.urandom(900_000)
    client.create("/large", data)
    events = []
    assert client.get("/large", watch=events.append)[0] == data
    client.set("/large", b"small")
    assert client.get("/large")[0] == b"small"
    assert [event.type for event in events] == ["CHANGED"]


def test_a_stranger_is_turned_away(secure_node, authority, tmp_path):
    key, certificate = Authority(tmp_path).issue("eve", "/CN=eve")
    client = KazooClient(
        hosts=secure_node.zookeeper,
        use_ssl=True,
        ca=str(authority.certificate),
        keyfile=key,
        certfile=certificate,
    )
    with pytest.raises(client.handler.timeout_exception):
        client.start(timeout=2)
    client.stop()
    client.close()


def test_sasl(connect, secure_node):
    owner = connect(node=secure_node, sasl_options=sasl("jaasuser", "jaas_password"))
    owner.create("/by-sasl", b"mine", acl=[make_acl("sasl", "jaasuser", all=True)])
    with pytest.raises(NoAuthError):
        connect(node=secure_node).get("/by-sasl")
    assert connect(node=secure_node, sasl_options=sasl("super", "super_secret")).get("/by-sasl")[0] == b"mine"
    assert owner.get("/by-sasl")[0] == b"mine"


def test_sasl_with_a_wrong_password(secure_node):
    for user, password in (("jaasuser", "wrong"), ("nobody", "jaas_password")):
        # With a chroot start() asks for something, which is how it learns of the failure.
        hosts = f"{secure_node.zookeeper}/chroot"
        client = KazooClient(hosts=hosts, sasl_options=sasl(user, password))
        with pytest.raises(AuthFailedError):
            client.start(timeout=10)
        client.stop()
        client.close()
