//! Keys without an effect that users could notice here, grouped by the reason.

use super::super::draft::PEERS;

/// Reasons, each with the keys that it holds for.
type Groups = &'static [(&'static str, &'static [&'static str])];

const SOCKETS: &str =
    "this node has one way to serve sockets, and notices a lost client by its session";
const NO_JAVA: &str = "this node runs without Java; INNKEEPER_LOG sets what it logs";
const OWN_MEASURE: &str = "the node decides itself when it writes checkpoints, and acknowledges nothing before it is synced";

/// Keys of ZooKeeper's file.
pub(super) const OF_THE_FILE: Groups = &[
    (
        PEERS,
        &[
            "connectToLearnerMasterLimit",
            "syncEnabled",
            "portUnification",
            "sslQuorumReloadCertFiles",
            "quorum.auth.learner.saslLoginContext",
            "quorum.auth.server.saslLoginContext",
            "quorum.auth.kerberos.servicePrincipal",
            "quorum.cnxn.threads.size",
            "multiAddress.enabled",
            "multiAddress.reachabilityCheckTimeoutMs",
            "multiAddress.reachabilityCheckEnabled",
            "version",
        ],
    ),
    (
        "a running node removes the logs and checkpoints that it no longer needs",
        &["autopurge.snapRetainCount", "autopurge.purgeInterval"],
    ),
    (SOCKETS, &["clientPortListenBacklog"]),
    (
        NO_JAVA,
        &[
            "jvm.pause.info-threshold.ms",
            "jvm.pause.warn-threshold.ms",
            "jvm.pause.sleep.time.ms",
            "jvm.pause.monitor",
            "metricsProvider.exportJvmInfo",
            "metricsProvider.numWorkerThreads",
            "metricsProvider.maxQueueSize",
            "metricsProvider.workerShutdownTimeoutMs",
        ],
    ),
];

/// System properties, by their full names.
pub(super) const PROPERTIES: Groups = &[
    (
        PEERS,
        &[
            "zookeeper.ssl.quorum.*",
            "zookeeper.quorumCnxnTimeoutMs",
            "zookeeper.multiAddress.*",
            "zookeeper.leader.*",
            "leader.*",
            "zookeeper.learner.*",
            "learner.*",
            "zookeeper.follower.*",
            "follower.*",
            "zookeeper.observer.*",
            "zookeeper.observerMaster.*",
            "zookeeper.fastleader.*",
            "zookeeper.leaderServes",
            "zookeeper.leaderConnectDelayDuringRetryMs",
            "zookeeper.electionPortBindRetry",
            "zookeeper.cnxTimeout",
            "zookeeper.tcpKeepAlive",
            "zookeeper.forceSnapshotSync",
            "zookeeper.messageTracker.*",
            "zookeeper.forward_learner_requests_to_commit_processor_disabled",
            "zookeeper.kerberos.canonicalizeHostNames",
        ],
    ),
    (
        OWN_MEASURE,
        &[
            "zookeeper.snapCount",
            "zookeeper.commitLogCount",
            "zookeeper.snapSizeLimitInKb",
            "zookeeper.txnLogSizeLimitInKb",
            "zookeeper.preAllocSize",
            "zookeeper.snapshotSizeFactor",
            "zookeeper.snapshot.*",
            "zookeeper.forceSync",
            "zookeeper.fsync.*",
            "fsync.*",
            "zookeeper.flushDelay",
            "zookeeper.maxWriteQueuePollTime",
            "zookeeper.maxBatchSize",
            "zookeeper.closeSessionTxn.enabled",
            "zookeeper.serializeLastProcessedZxid.enabled",
            "zookeeper.digest.enabled",
            "zookeeper.db.autocreate",
        ],
    ),
    (
        "this node serves reads and writes in another way, which needs no such setting",
        &[
            "zookeeper.commitProcessor.*",
            "zookeeper.request_throttle_stall_time",
            "zookeeper.request_throttler.*",
            "zookeeper.request_stale_connection_check",
            "zookeeper.request.timeout",
            "zookeeper.watchManagerName",
            "zookeeper.watcherCleanThreshold",
            "zookeeper.watcherCleanThreadsNum",
            "zookeeper.watcherCleanIntervalInSeconds",
            "zookeeper.maxInProcessingDeadWatchers",
            "zookeeper.bitHashCacheSize",
            "zookeeper.maxResponseCacheSize",
            "zookeeper.maxGetChildrenResponseCacheSize",
            "zookeeper.pathStats.*",
            "zookeeper.enableEagerACLCheck",
            "zookeeper.jute.maxbuffer.extrasize",
            "zookeeper.intBufferStartingSizeBytes",
        ],
    ),
    (
        SOCKETS,
        &[
            "zookeeper.serverCnxnFactory",
            "zookeeper.nio.*",
            "zookeeper.netty.*",
            "zookeeper.clientTcpKeepAlive",
            "zookeeper.admin.httpVersion",
        ],
    ),
    (
        "Kerberos is not served: clients authenticate by digest, DIGEST-MD5 or certificate",
        &[
            "zookeeper.kerberos.*",
            "zookeeper.kinit",
            "zookeeper.server.principal",
            "zookeeper.server.realm",
            "zookeeper.security.auth_to_local",
            "zookeeper.requireKerberosConfig",
        ],
    ),
    (
        "it is a setting of ZooKeeper's clients",
        &[
            "zookeeper.client.secure",
            "zookeeper.clientCnxnSocket",
            "zookeeper.disableAutoWatchReset",
            "zookeeper.sasl.client*",
        ],
    ),
    (
        NO_JAVA,
        &[
            "java.*",
            "javax.*",
            "jdk.*",
            "sun.*",
            "com.sun.*",
            "file.encoding",
            "user.*",
            "os.*",
            "line.separator",
            "zookeeper.jmx.*",
            "log4j*",
            "logback.*",
            "slf4j.*",
            "org.slf4j.*",
            "org.eclipse.jetty.*",
            "org.jboss.*",
            "io.netty.*",
            "zookeeper.log.*",
            "zookeeper.root.logger",
            "zookeeper.console.threshold",
            "zookeeper.tracelog.*",
            "zookeeper.configuration",
            "zookeeper.controllerPort",
            "zookeeper.clientPortAddress",
            "zookeeper.test.*",
            "zookeeper.testingonly.*",
        ],
    ),
];
