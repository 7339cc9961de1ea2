import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.MultiResponse;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.Version;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.*;
import org.apache.zookeeper.txn.DeleteTxn;

/**
 * Prints, as GoldenReplies does, the operations that came with ZooKeeper 3.5 and later: what clients send, and what
 * servers answer. host/proto/tests/golden_extended.rs repeats the values by hand and compares.
 */
public final class GoldenExtended {
    private static final Stat STAT = new Stat(
        0x100000001L, 0x100000002L, 1700000000001L, 1700000000002L, 3, 4, 5, 0x1020304050607080L, 6, 7, 0x100000003L);

    private static void print(String name, Record... records) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        archive.writeInt(-1, "len");
        for (Record record : records) {
            record.serialize(archive, "record");
        }
        byte[] frame = bytes.toByteArray();
        ByteBuffer.wrap(frame).putInt(frame.length - 4);
        System.out.println(name + " " + HexFormat.of().formatHex(frame));
    }

    private static RequestHeader request(int xid, int type) {
        return new RequestHeader(xid, type);
    }

    private static ReplyHeader ok(int xid) {
        return new ReplyHeader(xid, 0x100000005L, 0);
    }

    public static void main(String[] args) throws Exception {
        System.out.println("# Messages of ZooKeeper 3.5 and later as the classes of " + Version.getVersion()
            + " write them. Made by tests/proto/GoldenExtended.java.");
        requests();
        replies();
    }

    private static void requests() throws Exception {
        print("request_create_container", request(1, OpCode.createContainer),
            new CreateRequest("/a", new byte[] {'x'}, Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER.toFlag()));
        print("request_create_ttl", request(2, OpCode.createTTL),
            new CreateTTLRequest("/a", null, Ids.OPEN_ACL_UNSAFE,
                CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL.toFlag(), 0x1122334455L));
        // DeleteContainerRequest has a path, which is a string, as the record of a delete in the log begins.
        print("request_delete_container", request(3, OpCode.deleteContainer), new DeleteTxn("/a"));
        print("request_check_watches", request(4, OpCode.checkWatches),
            new CheckWatchesRequest("/a", WatcherType.Any.getIntValue()));
        print("request_set_watches2", request(-8, OpCode.setWatches2),
            new SetWatches2(0x100000005L, List.of("/a", "/b"), List.of("/c"), List.of(), List.of("/d"),
                List.of("/e", "/f")));
        print("request_add_watch", request(5, OpCode.addWatch),
            new AddWatchRequest("/a", AddWatchMode.PERSISTENT_RECURSIVE.getMode()));
        print("request_sasl", request(6, OpCode.sasl), new GetSASLRequest(new byte[] {1, 2, 3}));
        print("request_get_ephemerals", request(7, OpCode.getEphemerals), new GetEphemeralsRequest("/a"));
        print("request_get_all_children_number", request(8, OpCode.getAllChildrenNumber),
            new GetAllChildrenNumberRequest("/a"));
        print("request_who_am_i", request(9, OpCode.whoAmI));
        print("request_reconfig", request(10, OpCode.reconfig),
            new ReconfigRequest("server.1=a:1:2;3", null, "", -1));
        MultiOperationRecord reads = new MultiOperationRecord();
        reads.add(Op.getData("/a"));
        reads.add(Op.getChildren("/b"));
        print("request_multi_read", request(11, OpCode.multiRead), reads);
        MultiOperationRecord creates = new MultiOperationRecord();
        creates.add(Op.create("/c", new byte[] {'1'},
            Ids.OPEN_ACL_UNSAFE, CreateMode.CONTAINER));
        creates.add(Op.create("/t", new byte[] {'2'}, Ids.OPEN_ACL_UNSAFE,
            CreateMode.PERSISTENT_WITH_TTL, 5000));
        print("request_multi_extended", request(12, OpCode.multi), creates);
    }

    private static void replies() throws Exception {
        print("create_ttl", ok(1), new Create2Response("/a0000000001", STAT));
        print("sasl", ok(2), new SetSASLResponse(new byte[] {4, 5}));
        print("sasl_null", ok(3), new SetSASLResponse(null));
        print("add_watch", ok(4), new ErrorResponse(0));
        print("get_ephemerals", ok(5), new GetEphemeralsResponse(List.of("/a", "/b")));
        print("get_all_children_number", ok(6), new GetAllChildrenNumberResponse(7));
        print("who_am_i", ok(7), new WhoAmIResponse(List.of(
            new ClientInfo("ip", "127.0.0.1"), new ClientInfo("digest", "alice"))));
        print("reconfig", ok(8), new GetDataResponse(new byte[] {'v'}, STAT));
        MultiResponse reads = new MultiResponse();
        reads.add(new OpResult.GetDataResult(new byte[] {0, 1}, STAT));
        reads.add(new OpResult.GetDataResult(null, STAT));
        reads.add(new OpResult.GetChildrenResult(List.of("x", "y")));
        reads.add(new OpResult.ErrorResult(-101));
        print("multi_read", ok(9), reads);
    }
}
