package org.apache.zookeeper.server;

import java.io.File;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.jute.BinaryInputArchive;
import org.apache.zookeeper.common.ConfigException;
import org.apache.zookeeper.common.ZKConfig;
import org.apache.zookeeper.server.admin.AdminServer.AdminServerException;
import org.apache.zookeeper.server.auth.ProviderRegistry;
import org.apache.zookeeper.server.command.FourLetterCommands;
import org.apache.zookeeper.server.persistence.FileTxnSnapLog.DatadirException;
import org.apache.zookeeper.server.quorum.QuorumPeer;
import org.apache.zookeeper.server.quorum.QuorumPeerConfig;
import org.apache.zookeeper.server.quorum.QuorumPeerMain;

/**
 * Starts one server the way QuorumPeerMain does, in a class loader of its own, and tells what came
 * of it: the exit code and why, or the values that took effect. It stands in ZooKeeper's package
 * to see them.
 */
public final class Probe {
    /** What the case runs with, closed when its values are taken. */
    private interface Running {
        Map<String, Object> values() throws Exception;

        void close() throws Exception;
    }

    private static final class Standalone extends ZooKeeperServerMain {
        final Object lock = new Object();
        volatile boolean started;

        @Override
        protected void serverStarted() {
            synchronized (lock) {
                started = true;
                lock.notifyAll();
            }
        }
    }

    private static final class Distributed extends QuorumPeerMain {
        QuorumPeer peer() {
            return quorumPeer;
        }
    }

    /** @return "exit\tCODE\tWHY", or "values\tNAME=VALUE\t…" */
    public static String run(String config) throws Exception {
        try {
            Running running = start(config);
            try {
                StringBuilder text = new StringBuilder("values");
                running.values().forEach((name, value) -> text.append('\t').append(name).append('=').append(value));
                return text.toString();
            } finally {
                end(running);
            }
        } catch (Throwable thrown) {
            return "exit\t" + code(thrown) + "\t" + why(thrown);
        }
    }

    /** Ends it; some of its threads take their time, and nobody waits for these. */
    private static void end(Running running) throws InterruptedException {
        Thread ends = new Thread(() -> {
            try {
                running.close();
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        ends.setDaemon(true);
        ends.start();
        ends.join(300);
    }

    /** As the main methods of QuorumPeerMain and ZooKeeperServerMain have it. */
    private static int code(Throwable thrown) {
        if (thrown instanceof IllegalArgumentException || thrown instanceof ConfigException) {
            return ExitCode.INVALID_INVOCATION.getValue();
        }
        if (thrown instanceof DatadirException) {
            return ExitCode.UNABLE_TO_ACCESS_DATADIR.getValue();
        }
        if (thrown instanceof AdminServerException) {
            return ExitCode.ERROR_STARTING_ADMIN_SERVER.getValue();
        }
        return ExitCode.UNEXPECTED_ERROR.getValue();
    }

    private static String why(Throwable thrown) {
        List<String> all = new ArrayList<>();
        for (Throwable at = thrown; at != null && all.size() < 4; at = at.getCause()) {
            all.add(at.getClass().getSimpleName() + ": " + at.getMessage());
        }
        return String.join("; ", all);
    }

    private static Running start(String path) throws Throwable {
        QuorumPeerConfig config = new QuorumPeerConfig();
        config.parse(path);
        DatadirCleanupManager purge = new DatadirCleanupManager(
            config.getDataDir(), config.getDataLogDir(), config.getSnapRetainCount(), config.getPurgeInterval());
        purge.start();
        try {
            return config.isDistributed() ? distributed(config) : standalone(path, config);
        } finally {
            purge.shutdown();
        }
    }

    private static Running standalone(String path, QuorumPeerConfig first) throws Throwable {
        ServerConfig config = new ServerConfig();
        config.parse(path);
        Standalone main = new Standalone();
        Thread thread = runs(() -> {
            main.runFromConfig(config);
            return null;
        });
        synchronized (main.lock) {
            while (!main.started && thread.isAlive()) {
                main.lock.wait(20);
            }
        }
        if (!main.started) {
            thread.join();
            throw failure.get();
        }
        ServerCnxnFactory factory = main.getCnxnFactory() != null ? main.getCnxnFactory() : main.getSecureCnxnFactory();
        return new Running() {
            @Override
            public Map<String, Object> values() throws Exception {
                Map<String, Object> values = common(first);
                values.put("client", address(main.getCnxnFactory()));
                values.put("secure", address(main.getSecureCnxnFactory()));
                if (factory != null) {
                    ofServer(values, factory);
                }
                Object containers = field(ZooKeeperServerMain.class, main, "containerManager");
                for (String name : List.of("checkIntervalMs", "maxPerMinute", "maxNeverUsedIntervalMs")) {
                    values.put("container." + name, field(ContainerManager.class, containers, name));
                }
                Object admin = field(ZooKeeperServerMain.class, main, "adminServer");
                values.put("admin", admin.getClass().getSimpleName());
                if (admin.getClass().getSimpleName().equals("JettyAdminServer")) {
                    for (String name : List.of("address", "port", "idleTimeout", "commandUrl")) {
                        values.put("admin." + name, field(admin.getClass(), admin, name));
                    }
                }
                return values;
            }

            @Override
            public void close() throws Exception {
                main.close();
                // Without a client port there is nothing that close() could reach.
                thread.interrupt();
            }
        };
    }

    private static Running distributed(QuorumPeerConfig config) throws Throwable {
        Distributed main = new Distributed();
        Thread thread = runs(() -> {
            main.runFromConfig(config);
            return null;
        });
        while (thread.isAlive() && (main.peer() == null || !main.peer().isAlive())) {
            Thread.sleep(5);
        }
        if (!thread.isAlive()) {
            throw failure.get();
        }
        return new Running() {
            @Override
            public Map<String, Object> values() throws Exception {
                Map<String, Object> values = common(config);
                long id = main.peer().getMyId();
                values.put("serverId", id);
                values.put("sessionsBegin", SessionTrackerImpl.initializeNextSessionId(id) >>> 56);
                values.put("tickTime", main.peer().getTickTime());
                values.put("client", String.valueOf(main.peer().getClientAddress()));
                return values;
            }

            @Override
            public void close() throws Exception {
                main.close();
            }
        };
    }

    private static final AtomicReference<Throwable> failure = new AtomicReference<>();

    private static Thread runs(Callable<Void> what) {
        Thread thread = new Thread(() -> {
            try {
                what.call();
                failure.set(new IllegalStateException("it ended by itself"));
            } catch (Throwable thrown) {
                failure.set(thrown);
            }
        }, "server");
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static Map<String, Object> common(QuorumPeerConfig config) throws Exception {
        Map<String, Object> values = new TreeMap<>();
        values.put("jute.maxbuffer", BinaryInputArchive.maxBuffer);
        values.put("reconfigEnabled", QuorumPeerConfig.isReconfigEnabled());
        values.put("localSessions", config.areLocalSessionsEnabled());
        values.put("localSessionsUpgrading", config.isLocalSessionsUpgradingEnabled());
        values.put("distributed", config.isDistributed());
        values.put("readonly", Boolean.getBoolean("readonlymode.enabled"));
        values.put("extendedTypes", EphemeralType.extendedEphemeralTypesEnabled());
        values.put("skipACL", field(ZooKeeperServer.class, null, "skipACL"));
        values.put("enforceQuota", field(ZooKeeperServer.class, null, "enforceQuota"));
        values.put("maxRequests", RequestThrottler.getMaxRequests());
        values.put("dropStale", RequestThrottler.getDropStaleRequests());
        values.put("staleLatency", field(Request.class, null, "staleLatencyCheck"));
        values.put("throttledOpWait", ZooKeeperServer.getThrottledOpWaitTime());
        values.put("schemes", new TreeSet<>(List.of(ProviderRegistry.listProviders().trim().split(" "))));
        Class<?> digest = Class.forName("org.apache.zookeeper.server.auth.DigestAuthenticationProvider");
        values.put("superDigest", field(digest, null, "superDigest"));
        values.put("digestAlg", field(digest, null, "DIGEST_ALGORITHM"));
        TreeSet<String> words = new TreeSet<>();
        for (String word : "conf cons crst dirs dump envi gtmk hash isro mntr orst ruok srst srvr stat stmk wchc wchp wchs".split(" ")) {
            if (FourLetterCommands.isEnabled(word)) {
                words.add(word);
            }
        }
        values.put("words", words);
        ZKConfig tls = new ZKConfig();
        for (String name : List.of("clientAuth", "keyStore.location", "keyStore.type", "trustStore.location", "protocol")) {
            values.put("ssl." + name, tls.getProperty("zookeeper.ssl." + name));
        }
        values.put("ssl.clientHostnameVerification", tls.getBoolean("zookeeper.ssl.clientHostnameVerification"));
        values.put("ssl.hostnameVerification", tls.getBoolean("zookeeper.ssl.hostnameVerification", true));
        values.put("certReload", Boolean.getBoolean("zookeeper.client.certReload"));
        values.put("superUsers", new TreeSet<>(startingWith("zookeeper.superUser")));
        values.put("x509SuperUser", System.getProperty("zookeeper.X509AuthenticationProvider.superUser"));
        values.put("saslSuperPassword", System.getProperty("zookeeper.SASLAuthenticationProvider.superPassword"));
        values.put("saslSection", System.getProperty("zookeeper.sasl.serverconfig", "Server"));
        return values;
    }

    private static List<String> startingWith(String prefix) {
        List<String> found = new ArrayList<>();
        System.getProperties().forEach((key, value) -> {
            if (key.toString().startsWith(prefix)) {
                found.add(value.toString());
            }
        });
        return found;
    }

    private static void ofServer(Map<String, Object> values, ServerCnxnFactory factory) throws Exception {
        ZooKeeperServer server = factory.getZooKeeperServer();
        ZooKeeperServerConf conf = server.getConf();
        values.put("tickTime", conf.getTickTime());
        values.put("minSessionTimeout", conf.getMinSessionTimeout());
        values.put("maxSessionTimeout", conf.getMaxSessionTimeout());
        values.put("maxClientCnxns", factory.getMaxClientCnxnsPerHost());
        values.put("serverId", conf.getServerId());
        AtomicLong next = (AtomicLong) field(SessionTrackerImpl.class, server.getSessionTracker(), "nextSessionId");
        values.put("sessionsBegin", next.get() >>> 56);
        values.put("maxCnxns", factory.getMaxCnxns());
        values.put("globalOutstandingLimit", server.getGlobalOutstandingLimit());
        values.put("largeRequestThreshold", server.getLargeRequestThreshold());
        values.put("largeRequestMaxBytes", server.getLargeRequestMaxBytes());
        BlueThrottle throttle = server.connThrottle();
        values.put("throttle.tokens", throttle.getMaxTokens());
        values.put("throttle.fillTime", throttle.getFillTime());
        values.put("throttle.fillCount", throttle.getFillCount());
        values.put("throttle.freezeTime", throttle.getFreezeTime());
        values.put("throttle.dropIncrease", throttle.getDropIncrease());
        values.put("throttle.dropDecrease", throttle.getDropDecrease());
        values.put("throttle.decreaseRatio", throttle.getDecreasePoint());
        values.put("throttle.weighed", throttle.isConnectionWeightEnabled());
        values.put("throttle.global", throttle.getRequiredTokensForGlobal());
        values.put("throttle.local", throttle.getRequiredTokensForLocal());
        values.put("throttle.renew", throttle.getRequiredTokensForRenew());
        values.put("allowSaslFailed", field(ZooKeeperServer.class, server, "authHelper") == null ? null
            : Boolean.getBoolean("zookeeper.allowSaslFailedClients"));
        Object auth = field(ZooKeeperServer.class, server, "authHelper");
        values.put("enforce", field(AuthenticationHelper.class, auth, "enforceAuthEnabled"));
        values.put("enforceSchemes", field(AuthenticationHelper.class, auth, "enforceAuthSchemes"));
        if (factory instanceof NIOServerCnxnFactory) {
            values.put("sessionless", field(NIOServerCnxnFactory.class, factory, "sessionlessCnxnTimeout"));
        } else {
            values.put("portUnification", field(factory.getClass(), factory, "shouldUsePortUnification"));
            values.put("handshakeLimit", field(factory.getClass(), factory, "outstandingHandshakeLimit"));
        }
    }

    private static String address(ServerCnxnFactory factory) {
        if (factory == null) {
            return "none";
        }
        InetSocketAddress address = factory.getLocalAddress();
        return address.getAddress().isAnyLocalAddress() ? "any" : address.getAddress().getHostAddress();
    }

    private static Object field(Class<?> of, Object in, String name) throws Exception {
        Field field = of.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(in);
    }
}
