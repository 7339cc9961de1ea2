"""The cases: what stands in zoo.cfg, in -D and in myid, beside a file that starts.

Every key that Innkeeper honours meets every value, where ZooKeeper's documentation has it and
where it does nothing: in the file and as a system property, with the prefix and without.
"""

# What a case's file holds unless the case says something of the same key.
BASE = {
    "dataDir": "{folder}/data",
    "clientPort": "0",
    "clientPortAddress": "127.0.0.1",
    "admin.serverAddress": "127.0.0.1",
    "admin.serverPort": "0",
}

# As templates, typing and other languages leave them. Blanks around a value of the file go.
IN_FILE = ["", "${X}", "word", "true", "TRUE", "false", "yes", "0", "7", "-1", "-5", "010", "0x10", "7 ", "7\r",
           "3000000000"]
AS_PROPERTY = ["", "${X}", "word", "true", "TRUE", "false", "yes", "0", "7", "-1", "-5", "+7", "08", "010", "0x10",
               "#10", "7 ", "7\r", "7.5", "2147483647", "3000000000", "9223372036854775808"]
# Enough to tell whether a key counts at a place, and whether its value is judged there.
TELLING = ["7", "true", "word"]

# Keys of QuorumPeerConfig, which counts them in the file alone.
FILE = ["tickTime", "clientPort", "maxClientCnxns", "minSessionTimeout", "maxSessionTimeout", "localSessionsEnabled",
        "localSessionsUpgradingEnabled", "reconfigEnabled", "standaloneEnabled", "electionAlg", "peerType",
        "clientPortAddress", "secureClientPort", "secureClientPortAddress", "metricsProvider.className",
        "metricsProvider.httpPort", "metricsProvider.httpHost", "server.1", "server.x", "group.1", "weight.1",
        "initLimit", "syncLimit", "quorumListenOnAllIPs", "sslQuorum", "clientPortListenBacklog",
        "autopurge.purgeInterval", "jvm.pause.monitor", "multiAddress.enabled", "quorum.auth.enableSasl",
        "observerMasterPort", "dynamicConfigFile", "dataDir", "dataLogDir"]

# System properties that its code reads as zookeeper.NAME.
PREFIXED = ["4lw.commands.whitelist", "maxCnxns", "globalOutstandingLimit", "request_throttle_max_requests",
            "request_throttle_drop_stale", "request_stale_latency_check", "throttled_op_wait_time",
            "largeRequestThreshold", "largeRequestMaxBytes", "connection_throttle_tokens",
            "connection_throttle_fill_time", "connection_throttle_fill_count", "connection_throttle_freeze_time",
            "connection_throttle_drop_increase", "connection_throttle_drop_decrease",
            "connection_throttle_decrease_ratio", "connection_throttle_weight_enabled",
            "connection_throttle_global_session_weight", "connection_throttle_local_session_weight",
            "connection_throttle_renew_session_weight", "nio.sessionlessCnxnTimeout", "extendedTypesEnabled",
            "enforceQuota", "skipACL", "datadir.autocreate", "admin.enableServer", "admin.serverAddress",
            "admin.serverPort", "admin.idleTimeout", "admin.commandURL",
            "DigestAuthenticationProvider.superDigest", "DigestAuthenticationProvider.enabled",
            "DigestAuthenticationProvider.digestAlg", "client.portUnification", "client.certReload",
            "sessionRequireClientSASLAuth", "enforce.auth.enabled", "enforce.auth.schemes", "authProvider.1",
            "SASLAuthenticationProvider.superPassword", "X509AuthenticationProvider.superUser", "superUser",
            "allowSaslFailedClients", "sasl.serverconfig", "ssl.clientAuth", "ssl.keyStore.location",
            "ssl.keyStore.type", "ssl.trustStore.location", "ssl.protocol", "ssl.enabledProtocols",
            "ssl.ciphersuites", "ssl.hostnameVerification", "ssl.clientHostnameVerification",
            "ssl.handshakeDetectionTimeoutMillis", "ssl.authProvider", "ssl.crl",
            "netty.server.outstandingHandshake.limit", "letAnySaslUserDoX", "ensembleAuthName"]

# And those that it reads without the prefix, so that no line of the file reaches them.
BARE = ["jute.maxbuffer", "readonlymode.enabled", "znode.container.checkIntervalMs",
        "znode.container.maxPerMinute", "znode.container.maxNeverUsedIntervalMs",
        "java.security.auth.login.config"]

PROMETHEUS = "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
NETTY = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"
AUTH = "org.apache.zookeeper.server.auth."
SUPER = "super:gG7s8t3oDEtIqF6DM9LlI/R+9Ss="


def case(file=(), properties=(), myid=None, jaas=None):
    made = {}
    if file:
        made["file"] = list(file)
    if properties:
        made["properties"] = list(properties)
    if myid is not None:
        made["myid"] = myid
    if jaas is not None:
        made["jaas"] = jaas
    return made


def every_case():
    yield case()
    for key in FILE:
        for value in IN_FILE:
            yield case(file=[f"{key}={value}"])
        for value in TELLING:
            yield case(file=[f"zookeeper.{key}={value}"])
            yield case(properties=[f"{key}={value}"])
            yield case(properties=[f"zookeeper.{key}={value}"])
    for key in PREFIXED:
        for value in IN_FILE:
            yield case(file=[f"{key}={value}"])
        for value in AS_PROPERTY:
            yield case(properties=[f"zookeeper.{key}={value}"])
        for value in TELLING:
            yield case(file=[f"zookeeper.{key}={value}"])
            yield case(properties=[f"{key}={value}"])
    for key in BARE:
        for value in AS_PROPERTY:
            yield case(properties=[f"{key}={value}"])
        for value in TELLING:
            yield case(file=[f"{key}={value}"])
            yield case(file=[f"zookeeper.{key}={value}"])
            yield case(properties=[f"zookeeper.{key}={value}"])
    yield from particular_values()
    yield from several_keys()
    yield from servers()
    yield from jaas_files()


def particular_values():
    """Values that mean something for one key only."""
    for key, values in {
        "4lw.commands.whitelist": ["*", "ruok,nope", "nope", "ruok, mntr ,", ",", "RUOK", "ruok;mntr", "*,x", "x,*"],
        "DigestAuthenticationProvider.superDigest": [SUPER, "super:x", "admin:secret", ":"],
        "DigestAuthenticationProvider.digestAlg": ["SHA1", "sha-256", "SHA256", "SHA-224", "SHA512/256", "MD5", "SHA"],
        "authProvider.1": [AUTH + "SASLAuthenticationProvider", AUTH + "X509AuthenticationProvider", "com.example.P"],
        "authProvider.x509": [AUTH + "X509AuthenticationProvider"],
        "enforce.auth.schemes": ["digest", "digest,", " digest ,ip", ",digest", "sasl"],
        "ssl.clientAuth": ["need", "WANT", "none", "maybe"],
        "connection_throttle_drop_increase": ["0.5", "5", "-0.5", "1e-2", "NaN", "Infinity", "0.5f", "half"],
        "connection_throttle_decrease_ratio": ["0.5", "5", "-0.5", ".5", "NaN"],
        "admin.commandURL": ["/zk", "/zk/", "zk", "/", "/a b", "/${X}", "/{x}"],
        "admin.serverAddress": ["localhost", "no-such-host.invalid", "[::1]", "*"],
        "admin.serverPort": ["70000", "-2"],
        "admin.enableServer": ["False", "no", "FALSE"],
        "nio.sessionlessCnxnTimeout": ["0x100"],
        "superUser.2": ["b"],
        "skipACL": ["YES", "yes"],
        "speed": ["fast"],
        "version": ["x", "7"],
        "requestThrottleLimit": ["7"],
        "connectionMaxTokens": ["7"],
    }.items():
        for value in values:
            yield case(file=[f"{key}={value}"])
            yield case(properties=[f"zookeeper.{key}={value}"])
    for key, values in {
        "clientPort": ["65535", "65536", "-2"],
        "clientPortAddress": ["localhost", "0.0.0.0", "::1", "[::1]", "no-such-host.invalid", "127.1", "*"],
        "secureClientPortAddress": ["127.0.0.1"],
        "tickTime": ["2000", "107374183"],
        "minSessionTimeout": ["4000", "70000"],
        "maxSessionTimeout": ["4000", "60000"],
        "electionAlg": ["3", "03", "+3"],
        "peerType": ["observer", "PARTICIPANT", "Observer"],
        "metricsProvider.className": ["org.apache.zookeeper.metrics.impl.NullMetricsProvider"],
        "dataDir": ["d", "{folder}/missing"],
    }.items():
        for value in values:
            yield case(file=[f"{key}={value}"])


def several_keys():
    for value in IN_FILE:
        for key in ["metricsProvider.httpPort", "metricsProvider.numWorkerThreads", "metricsProvider.exportJvmInfo"]:
            yield case(file=[PROMETHEUS, "metricsProvider.httpPort=0", f"{key}={value}"])
        yield case(file=["admin.enableServer=false", f"admin.serverPort={value}"])
        yield case(file=["enforce.auth.enabled=true", f"enforce.auth.schemes={value}"])
        yield case(file=[NETTY, f"netty.server.outstandingHandshake.limit={value}"])
    yield case(file=["admin.enableServer=false", "admin.serverAddress=no-such-host.invalid", "admin.serverPort=70000"])
    yield case(file=["enforce.auth.enabled=true"])
    yield case(file=["enforce.auth.enabled=true", "enforce.auth.schemes=digest,"])
    yield case(file=["enforce.auth.enabled=true", "enforce.auth.schemes=digest",
                     "DigestAuthenticationProvider.enabled=false"])
    yield case(file=["enforce.auth.schemes=nonsense"])
    yield case(file=[f"authProvider.1={AUTH}DigestAuthenticationProvider", "DigestAuthenticationProvider.enabled=false"])
    yield case(file=["sessionRequireClientSASLAuth=true", f"authProvider.1={AUTH}SASLAuthenticationProvider"])
    yield case(file=["tickTime=-5", "minSessionTimeout=4000", "maxSessionTimeout=40000"])
    yield case(file=["minSessionTimeout=-10", "maxSessionTimeout=-5"])
    yield case(file=["minSessionTimeout=5000", "maxSessionTimeout=4000"])
    yield case(file=["maxClientCnxns=5", "maxClientCnxns=6"])
    yield case(file=["maxClientCnxns=word", "maxClientCnxns=6"])
    yield case(file=["skipACL=no", "skipACL=yes"])
    yield case(file=["skipACL=no"], properties=["zookeeper.skipACL=yes"])
    yield case(file=["zookeeper.skipACL=yes"], properties=["zookeeper.skipACL=no"])
    yield case(properties=["zookeeper.skipACL=no", "zookeeper.skipACL=yes"])
    yield case(properties=["zookeeper.skipACL=yes", "zookeeper.skipACL=no"])
    yield case(properties=["zookeeper.skipACL"])
    yield case(properties=["skipACL=yes"])
    yield case(properties=["readonlymode.enabled=true"], file=["readonlymode.enabled=false"])
    yield case(file=["globalOutstandingLimit=5"], properties=["zookeeper.globalOutstandingLimit=9"])
    yield case(file=["datadir.autocreate=false", "dataDir={folder}/missing"])
    yield case(file=["datadir.autocreate=", "dataDir={folder}/missing"])
    for weights in [(5, 2, 3), (0, 0, 0), (1, 4, 2), (-1, -1, -1)]:
        names = ["global", "local", "renew"]
        lines = [f"connection_throttle_{name}_session_weight={weight}" for name, weight in zip(names, weights)]
        yield case(file=["connection_throttle_weight_enabled=true", "connection_throttle_tokens=10", *lines])
    # A file without what the others have.
    yield case(file=["-clientPort", "-clientPortAddress"])
    yield case(file=["-clientPort"])
    yield case(file=["-dataDir"])
    yield case(file=["secureClientPortAddress=127.0.0.1"])
    # As other systems end lines, and as Java's Properties reads them.
    yield case(file=["tickTime = 2000 ", "maxClientCnxns:7", "enforceQuota true"])
    yield case(file=["skipACL=y\\u0065s"])
    yield case(file=["maxClientCnxns=1\\\n   7"])
    yield case(file=["maxClientCnxns=\\u12"])


PEERS = ["initLimit=5", "syncLimit=2"]


def servers():
    for value in ["0", "1", "255", "256", "1001", "-7", "9223372036854775807", "9223372036854775808", "-1"]:
        other = "2"
        line = "127.0.0.1:{port}:{port}"
        lines = [*PEERS, f"server.{value}={line}", f"server.{other}={line}"]
        for myid in [value, value + "\r", value + "\r\n", value + "\nx"]:
            yield case(file=lines, myid=myid)
        yield case(file=[f"server.{value}={line}"], myid=value)
        yield case(file=lines, myid=value, properties=["zookeeper.extendedTypesEnabled=true"])
    for myid in ["", " 1", "1 ", "0x1", "one", "${X}", "+1", "01", "900", "\n1", "1\t"]:
        yield case(myid=myid)
        yield case(file=[*PEERS, "server.1=127.0.0.1:{port}:{port}", "server.2=127.0.0.1:{port}:{port}"], myid=myid)
    two = ["server.1=127.0.0.1:{port}:{port}", "server.2=127.0.0.1:{port}:{port}"]
    yield case(file=[*PEERS, *two])
    yield case(file=two, myid="1")
    yield case(properties=["zookeeper.server.1=a:2888:3888", "zookeeper.server.2=b:2888:3888", "server.3=c:2888:3888"],
               myid="1")
    yield case(file=["zookeeper.server.1=a:2888:3888", "zookeeper.server.2=b:2888:3888"], myid="1")
    yield case(file=["standaloneEnabled=false", *PEERS, "server.1=127.0.0.1:{port}:{port}"], myid="1")
    for line in ["h:2888:3888", "h:2888:3888;", "h:2888:3888;;", "h:2888:3888:", "h:2888:3888|", "h:2888:3888;2181x",
                 "h:2888:3888;0", "h:2888:3888;127.0.0.1:0", "h:2888:3888;1;2", ";0", "h:2888", "h:2888:2888",
                 "h:x:3888", "h:-1:3888", "h:2888:65536", "h:+2888:3888", "h:2888:3888:observer",
                 "h:2888:3888:PARTICIPANT", "h:2888:3888:king", "h:2888:3888:participant:x", "[::1]:2888:3888",
                 "[::1:2888:3888", "[::1]", "[::1]:", "h:2888:3888;[::1]:0", "h:2888:3888; 0", "h: 2888:3888", ":2888:3888"]:
        yield case(file=[f"server.1={line}"], myid="1")
    yield case(file=["server.1=h:2888:3888;0"], myid="1")
    yield case(file=["-clientPort", "-clientPortAddress", "server.1=h:2888:3888;127.0.0.1:0"], myid="1")
    yield case(file=["server.1=h:2888:3888;9"], myid="1")


MODULE = AUTH + "DigestLoginModule required"


def jaas_files():
    for text in [f'Server {{ {MODULE} user_a="x"; }};', f"Server {{ {MODULE} user_a='x'; }};",
                 f"Server {{ {MODULE} user_a=x; }};", f'Server {{ {MODULE} user_a="${{unset.name}}"; }};',
                 f'Server {{ {MODULE} user_a="${{set}}"; }};', f'Other {{ {MODULE} user_a="x"; }};',
                 f"Server {{ {MODULE} user_a=${{set}}; }};", "Server { };", "Server {", "", "nonsense",
                 f'# comment\nServer {{ {MODULE} user_a="x"; }};']:
        yield case(properties=["java.security.auth.login.config={folder}/jaas.conf", "set=v"], jaas=text)
        yield case(properties=["java.security.auth.login.config={folder}/jaas.conf", "zookeeper.sasl.serverconfig=Other",
                               "set=v"], jaas=text)
    text = f'Server {{ {MODULE} user_a="x"; }};'
    for path in ["={folder}/jaas.conf", "file:{folder}/jaas.conf", "{folder}/missing.conf", "${folder}/jaas.conf"]:
        yield case(properties=[f"java.security.auth.login.config={path}"], jaas=text)
    yield case(file=["java.security.auth.login.config={folder}/jaas.conf"], jaas=f"Server {{ {MODULE} user_a='x'; }};")
    yield case(properties=["zookeeper.sasl.serverconfig=Other"])
