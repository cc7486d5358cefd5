import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Shop {
    static final String WORDS = "version one";

    public static void main(String[] args) throws Exception {
        var server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
        server.createContext("/", exchange -> {
            var body = (WORDS + " Java " + Runtime.version() + " " + System.getenv("STAGE")).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
