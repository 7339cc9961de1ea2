import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Version;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher.Event.EventType;
import org.apache.zookeeper.Watcher.Event.KeeperState;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.*;

/**
 * Prints the bytes of ZooKeeper's own classes as "name hex" lines: every reply that a server sends, and the requests
 * that kazoo never sends. Regenerate with tests/proto/regenerate.sh. The values are repeated by hand in
 * host/proto/tests/golden.rs, which compares.
 */
public final class GoldenReplies {
    private static final Stat STAT = new Stat(
        0x100000001L, 0x100000002L, 1700000000001L, 1700000000002L, 3, 4, 5, 0x1020304050607080L, 6, 7, 0x100000003L);
    private static final Stat MISSING_OWNER = new Stat(1, 2, 3, 4, 0, -1, 0, Long.MIN_VALUE, 0, 0, 5);
    private static final List<ACL> ACLS = List.of(
        new ACL(31, new Id("digest", "alice:x1nq8J5GOJVPY6zgzhtTtA9izLc=")), new ACL(1, Ids.ANYONE_ID_UNSAFE));

    // No character beyond the basic plane stands here: ZooKeeper writes such a one as two surrogates of three bytes each,
    // which is not UTF-8 and which no client decodes. Its paths cannot hold one either.

    /** A frame as a server or a client writes it: the length, then the records. */
    private static byte[] frame(Record... records) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        archive.writeInt(-1, "len");
        for (Record record : records) {
            record.serialize(archive, "record");
        }
        byte[] frame = bytes.toByteArray();
        ByteBuffer.wrap(frame).putInt(frame.length - 4);
        return frame;
    }

    private static void print(String name, Record... records) throws Exception {
        System.out.println(name + " " + HexFormat.of().formatHex(frame(records)));
    }

    private static ReplyHeader ok(int xid) {
        return new ReplyHeader(xid, 0x100000005L, 0);
    }

    private static RequestHeader request(int xid, int type) {
        return new RequestHeader(xid, type);
    }

    public static void main(String[] args) throws Exception {
        System.out.println("# Messages as the classes of ZooKeeper " + Version.getVersion()
            + " write them. Made by tests/proto/GoldenReplies.java.");
        replies();
        requests();
    }

    private static void replies() throws Exception {
        byte[] password = new byte[16];
        for (int i = 0; i < 16; i++) {
            password[i] = (byte) i;
        }
        print("connect_response", new ConnectResponse(0, 10000, 0x1020304050607080L, password, false));
        print("connect_response_read_only", new ConnectResponse(0, 10000, 0x1020304050607080L, password, true));
        print("connect_response_refused", new ConnectResponse(0, 0, 0, new byte[16], false));
        print("create", ok(1), new CreateResponse("/a"));
        print("create2", ok(2), new Create2Response("/ü/日本", STAT));
        print("exists", ok(3), new ExistsResponse(STAT));
        print("exists_container_like", ok(4), new ExistsResponse(MISSING_OWNER));
        print("get_data", ok(5), new GetDataResponse(new byte[] {0, 1, (byte) 0xff}, STAT));
        print("get_data_empty", ok(6), new GetDataResponse(new byte[0], STAT));
        print("get_data_null", ok(7), new GetDataResponse(null, STAT));
        print("set_data", ok(8), new SetDataResponse(STAT));
        print("get_acl", ok(9), new GetACLResponse(ACLS, STAT));
        print("set_acl", ok(10), new SetACLResponse(STAT));
        print("get_children", ok(11), new GetChildrenResponse(List.of("a", "b-0000000001", "ü")));
        print("get_children_none", ok(12), new GetChildrenResponse(List.of()));
        print("get_children2", ok(13), new GetChildren2Response(List.of("a", "b-0000000001", "ü"), STAT));
        print("sync", ok(14), new SyncResponse("/a"));
        print("delete", ok(15));
        print("ping", ok(-2));
        print("auth", new ReplyHeader(-4, 0, 0));
        print("auth_failed", new ReplyHeader(-4, 0, Code.AUTHFAILED.intValue()));
        print("set_watches", ok(-8));
        print("no_node", new ReplyHeader(16, 0x100000005L, Code.NONODE.intValue()));
        print("unimplemented", new ReplyHeader(17, 0x100000005L, Code.UNIMPLEMENTED.intValue()));

        MultiResponse multi = new MultiResponse();
        multi.add(new OpResult.CheckResult());
        multi.add(new OpResult.CreateResult("/b"));
        multi.add(new OpResult.CreateResult("/c0000000001", STAT));
        multi.add(new OpResult.SetDataResult(STAT));
        multi.add(new OpResult.DeleteResult());
        print("multi", ok(18), multi);
        MultiResponse failed = new MultiResponse();
        failed.add(new OpResult.ErrorResult(Code.OK.intValue()));
        failed.add(new OpResult.ErrorResult(Code.NODEEXISTS.intValue()));
        failed.add(new OpResult.ErrorResult(Code.RUNTIMEINCONSISTENCY.intValue()));
        print("multi_failed", ok(19), failed);
        print("multi_empty", ok(20), new MultiResponse());

        for (EventType type : EventType.values()) {
            WatchedEvent event = new WatchedEvent(type, KeeperState.SyncConnected, "/a/b");
            print("event_" + type.name(), new ReplyHeader(-1, 0x100000006L, 0), event.getWrapper());
        }
        // Not frames but a table: every code that the real server can name, and its number.
        for (Code code : Code.values()) {
            System.out.println("code_" + code.name() + " " + HexFormat.of().toHexDigits(code.intValue()));
        }
        for (KeeperState state : KeeperState.values()) {
            System.out.println("state_" + state.name() + " " + HexFormat.of().toHexDigits(state.getIntValue()));
        }
        for (WatcherType type : WatcherType.values()) {
            System.out.println("watcher_type_" + type.name() + " " + HexFormat.of().toHexDigits(type.getIntValue()));
        }
        for (var field : OpCode.class.getFields()) {
            System.out.println("op_" + field.getName() + " " + HexFormat.of().toHexDigits(field.getInt(null)));
        }
    }

    private static void requests() throws Exception {
        print("request_connect", new ConnectRequest(0, 5, 10000, 0, new byte[16], true));
        print("request_set_watches", request(-8, OpCode.setWatches),
            new SetWatches(0x100000005L, List.of("/a", "/b"), List.of("/c"), List.of()));
        print("request_set_watches_null", request(-8, OpCode.setWatches), new SetWatches(7, null, null, null));
        print("request_remove_watches", request(1, OpCode.removeWatches),
            new RemoveWatchesRequest("/a", WatcherType.Data.getIntValue()));
        print("request_create_null_acl", request(2, OpCode.create), new CreateRequest("/a", new byte[0], null, 0));
        print("request_empty_path", request(3, OpCode.getData), new GetDataRequest("", true));
        print("request_null_path", request(4, OpCode.getData), new GetDataRequest(null, true));
        print("request_auth", request(-4, OpCode.auth), new AuthPacket(0, "digest", "alice:secret".getBytes()));
        print("request_close", request(5, OpCode.closeSession));
        MultiOperationRecord multi = new MultiOperationRecord();
        multi.add(Op.check("/a", 5));
        multi.add(Op.setData("/a", new byte[] {'2'}, 5));
        multi.add(Op.delete("/d", -1));
        print("request_multi", request(6, OpCode.multi), multi);
    }
}
