// The balance workload of the bench in Kafka Streams: parse, filter, per-account balance in a store with a changelog,
// JSON out, exactly once, a commit every 100 ms. Run from source: java -cp 'target/kafka/*' Balance.java
//     BOOTSTRAP APPLICATION INPUT OUTPUT STATE_FOLDER RECORDS
// Ends when the group has committed the whole input; prints one line of JSON.

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Balance {
    private static final double FRAUD_MAX = 0.8;
    private static final long PATIENCE_MS = 180_000;
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectReader READER = MAPPER.readerFor(Payment.class);
    private static final ObjectWriter WRITER = MAPPER.writerFor(Booked.class);

    /** Written by the one stream thread alone, the outputs before the records. */
    private static long outputs;
    private static volatile long processed;

    @JsonIgnoreProperties(ignoreUnknown = true)
    public static final class Payment {
        public String tx_id;
        public String account_id;
        public long amount_cents;
        public double fraud_probability;
    }

    public record Booked(String tx_id, String account_id, long amount_cents, long balance_cents) {}

    private static final class Book implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<String, Long> balances;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            this.balances = context.getStateStore("balance");
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            try {
                Payment payment = READER.readValue(record.value());
                if (payment.fraud_probability <= FRAUD_MAX) {
                    Long before = balances.get(payment.account_id);
                    long balance = (before == null ? 0 : before) + payment.amount_cents;
                    balances.put(payment.account_id, balance);
                    Booked booked = new Booked(payment.tx_id, payment.account_id, payment.amount_cents, balance);
                    context.forward(record.withValue(WRITER.writeValueAsBytes(booked)));
                    outputs++;
                }
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
            processed++;
        }
    }

    public static void main(String[] words) throws Exception {
        if (words.length != 6) {
            throw new IllegalArgumentException("BOOTSTRAP APPLICATION INPUT OUTPUT STATE_FOLDER RECORDS");
        }
        String bootstrap = words[0], application = words[1], input = words[2], output = words[3];
        long records = Long.parseLong(words[5]);
        Topology topology = new Topology();
        var bytes = Serdes.ByteArray();
        topology.addSource("in", bytes.deserializer(), bytes.deserializer(), input);
        topology.addProcessor("book", Book::new, "in");
        // The fastest of its settings: in memory, without a cache, which made no difference.
        var store = Stores.inMemoryKeyValueStore("balance");
        var builder = Stores.keyValueStoreBuilder(store, Serdes.String(), Serdes.Long());
        topology.addStateStore(builder.withLoggingEnabled(Map.of()).withCachingDisabled(), "book");
        topology.addSink("out", output, bytes.serializer(), bytes.serializer(), "book");

        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, words[4]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

        var process = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long limit = System.currentTimeMillis() + PATIENCE_MS;
        // Warm: what comes after a third, when the hot code is compiled.
        long warmFrom = 0, cpuThen = 0, timeThen = 0;
        try (KafkaStreams streams = new KafkaStreams(topology, settings);
                Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            streams.start();
            while (committed(admin, application) < records) {
                if (warmFrom == 0 && processed >= records / 3) {
                    warmFrom = processed;
                    cpuThen = process.getProcessCpuTime();
                    timeThen = System.nanoTime();
                }
                if (System.currentTimeMillis() > limit || streams.state() == KafkaStreams.State.ERROR) {
                    throw new IllegalStateException(processed + " records of " + records + ", " + streams.state());
                }
                Thread.sleep(20);
            }
            long cpu = process.getProcessCpuTime(), time = System.nanoTime();
            if (warmFrom == 0 || processed != records) {
                throw new IllegalStateException(processed + " records of " + records + ", warm from " + warmFrom);
            }
            double warm = records - warmFrom;
            System.out.println(MAPPER.writeValueAsString(Map.of(
                    "cpu_ns", (cpu - cpuThen) / warm,
                    "outputs", outputs,
                    "whole_cpu_ns", cpu / (double) records,
                    "records_per_second", warm / ((time - timeThen) / 1e9))));
        }
    }

    /** The sum of the positions: the input is written without transactions, so that its offsets count its records. */
    private static long committed(Admin admin, String group) throws Exception {
        var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        return offsets.values().stream().filter(o -> o != null).mapToLong(o -> o.offset()).sum();
    }
}
