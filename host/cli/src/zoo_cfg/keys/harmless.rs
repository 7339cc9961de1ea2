//! Keys that tune what does not exist here, or whose effect nobody can notice, by the reason.

use super::super::draft::ALONE;

/// A reason, and the keys that it holds for.
type Groups = &'static [(&'static str, &'static [&'static str])];

const SOCKETS: &str =
    "sockets are served in one way here, and a client that is gone is noticed by its session";
const NO_JAVA: &str = "no Java runs here; what is logged is set by INNKEEPER_LOG";
const OWN_MEASURE: &str = "the log and the checkpoints keep their own measure; nothing is acknowledged before it is synced";

/// Those of ZooKeeper's file.
pub(super) const OF_THE_FILE: Groups = &[
    (
        ALONE,
        &[
            "initLimit",
            "syncLimit",
            "connectToLearnerMasterLimit",
            "quorumListenOnAllIPs",
            "syncEnabled",
            "sslQuorum",
            "portUnification",
            "sslQuorumReloadCertFiles",
            "quorum.auth.enableSasl",
            "quorum.auth.serverRequireSasl",
            "quorum.auth.learnerRequireSasl",
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
        "logs and checkpoints that are no longer needed are removed as the node runs",
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

/// The system properties.
pub(super) const PROPERTIES: Groups = &[
    (
        ALONE,
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
        "reads and writes go other ways here, which need no such setting",
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
        "it is a setting of clients",
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
