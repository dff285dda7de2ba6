import java.io.OutputStream;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.security.KeyStore;
import java.security.Provider;
import java.security.Security;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;

/**
 * An HTTPS server whose key lies in the token: {@code java TlsServer.java CONFIGURATION}, the PIN in {@code PIN}. Prints its
 * port, answers each connection with one page, and ends with its standard input.
 */
public final class TlsServer {
    public static void main(String[] arguments) throws Exception {
        Provider provider = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(provider);
        char[] pin = System.getenv("PIN").toCharArray();
        KeyStore store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, pin);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, pin);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        SSLServerSocket server =
            (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 50, InetAddress.getLoopbackAddress());
        System.out.println(server.getLocalPort());
        Thread serving = new Thread(() -> serve(server));
        serving.setDaemon(true);
        serving.start();
        while (System.in.read() >= 0) {}
    }

    private static void serve(SSLServerSocket server) {
        while (true) {
            try (SSLSocket socket = (SSLSocket) server.accept()) {
                // A request without a body ends with an empty line.
                int last = 0;
                for (int matched = 0; matched < 4; ) {
                    last = socket.getInputStream().read();
                    if (last < 0) break;
                    matched = last == "\r\n\r\n".charAt(matched) ? matched + 1 : last == '\r' ? 1 : 0;
                }
                String page = "hello from Java\n";
                String answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + page.length() + "\r\n\r\n" + page;
                OutputStream output = socket.getOutputStream();
                output.write(answer.getBytes(StandardCharsets.US_ASCII));
                output.flush();
            } catch (java.io.IOException error) {
                System.err.println(error);
            }
        }
    }
}
