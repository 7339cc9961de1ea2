import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import javax.security.auth.login.Configuration;

/**
 * Starts a ZooKeeper for each line of its input, a JSON string: a configuration file's path and
 * system properties KEY=VALUE, separated by U+001F. Answers one line each. Every server has classes of its own, so
 * that nothing which ZooKeeper keeps in statics outlives its case.
 */
public final class Starts {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Properties before = (Properties) System.getProperties().clone();
        List<URL> urls = new ArrayList<>();
        for (String entry : args) {
            urls.add(new File(entry).toURI().toURL());
        }
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = unquoted(line).split("\u001f", -1);
            Properties properties = new Properties();
            properties.putAll(before);
            for (int at = 1; at < parts.length; at++) {
                int equals = parts[at].indexOf('=');
                properties.setProperty(
                    equals < 0 ? parts[at] : parts[at].substring(0, equals),
                    equals < 0 ? "" : parts[at].substring(equals + 1));
            }
            System.setProperties(properties);
            Configuration.setConfiguration(null);
            try (URLClassLoader loader =
                new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader())) {
                Thread.currentThread().setContextClassLoader(loader);
                Object told = loader.loadClass("org.apache.zookeeper.server.Probe")
                    .getMethod("run", String.class)
                    .invoke(null, parts[0]);
                out.println(told.toString().replace("\n", " ").replace("\r", " "));
            }
        }
        out.flush();
        Runtime.getRuntime().halt(0);
    }

    /** The text of a JSON string of ASCII. */
    private static String unquoted(String json) {
        StringBuilder text = new StringBuilder();
        for (int at = 1; at < json.length() - 1; at++) {
            char c = json.charAt(at);
            if (c == '\\') {
                c = json.charAt(++at);
                if (c == 'u') {
                    c = (char) Integer.parseInt(json.substring(at + 1, at + 5), 16);
                    at += 4;
                } else {
                    c = c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
                }
            }
            text.append(c);
        }
        return text.toString();
    }
}
