import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.file.CodecFactory;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.Encoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.message.BinaryMessageEncoder;

/**
 * Answers each line of standard input, a request of make_bodies.py, with one line: {"body": base64} or {"error": text}.
 *
 * <p>Requests carry datums, not values, so that no value needs a notation of its own: they are read by their schema and
 * written again, single-object encoded, in a container, in sized blocks, or as another schema reads them.
 */
public class Bodies {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode request = JSON.readTree(line);
      var answer = JSON.createObjectNode();
      try {
        answer.put("body", Base64.getEncoder().encodeToString(answer(request)));
      } catch (RuntimeException | java.io.IOException e) {
        answer.put("error", e.toString());
      }
      System.out.println(answer);
    }
  }

  private static byte[] answer(JsonNode request) throws java.io.IOException, java.security.NoSuchAlgorithmException {
    Schema writer = new Schema.Parser().parse(request.get("schema").asText());
    String operation = request.get("operation").asText();
    Schema reader = operation.equals("resolve") ? new Schema.Parser().parse(request.get("reader").asText()) : writer;
    List<Object> records = new ArrayList<>();
    for (JsonNode datum : request.get("datums")) {
      byte[] bytes = Base64.getDecoder().decode(datum.asText());
      records.add(new GenericDatumReader<>(writer, reader).read(null, DecoderFactory.get().binaryDecoder(bytes, null)));
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    switch (operation) {
      case "fingerprint" -> out.write(SchemaNormalization.parsingFingerprint("CRC-64-AVRO", writer));
      case "single-object" -> new BinaryMessageEncoder<>(GenericData.get(), writer).encode(records.get(0), out);
      case "container" -> container(request, writer, records, out);
      case "blocks" -> {
        // Uses the smallest buffer that the library allows. Collections that exceed it are written in blocks with a byte size.
        Encoder encoder = new EncoderFactory().configureBlockSize(64).blockingBinaryEncoder(out, null);
        datum(writer, records.get(0), encoder);
      }
      case "resolve" -> datum(reader, records.get(0), EncoderFactory.get().binaryEncoder(out, null));
      default -> throw new IllegalArgumentException(operation);
    }
    return out.toByteArray();
  }

  private static void datum(Schema schema, Object record, Encoder encoder) throws java.io.IOException {
    new GenericDatumWriter<>(schema).write(record, encoder);
    encoder.flush();
  }

  private static void container(JsonNode request, Schema schema, List<Object> records, ByteArrayOutputStream out)
      throws java.io.IOException {
    byte[] sync = Base64.getDecoder().decode(request.get("sync").asText());
    try (DataFileWriter<Object> file = new DataFileWriter<>(new GenericDatumWriter<>(schema))) {
      file.setCodec(CodecFactory.fromString(request.get("codec").asText()));
      file.create(schema, out, sync);
      for (int index = 0; index < records.size(); index++) {
        file.append(records.get(index));
        if ((index + 1) % request.get("block").asInt() == 0) {
          file.sync();
        }
      }
    }
  }
}
