import java.io.BufferedReader;
import java.io.DataOutputStream;
import java.io.BufferedOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;

import hex.genmodel.MojoModel;
import hex.genmodel.PredictContributions;
import hex.genmodel.PredictContributionsFactory;
import hex.genmodel.easy.EasyPredictModelWrapper;
import hex.genmodel.easy.RowData;
import hex.genmodel.easy.prediction.AbstractPrediction;
import hex.genmodel.easy.prediction.BinomialModelPrediction;
import hex.genmodel.easy.prediction.MultinomialModelPrediction;
import hex.genmodel.easy.prediction.RegressionModelPrediction;

/**
 * h2o-genmodel as an engine of `bench`: see `engine.rs` for the lines that it reads and answers.
 *
 * <p>Genmodel MODE MODEL.zip ROWS.f64, where MODE is score (score0), typed (EasyPredict),
 * contributions, or load. Time is the processor time of the one thread that computes: neither the
 * compiler's nor the collector's threads count.
 */
final class Genmodel {
  private static final ThreadMXBean CLOCK = ManagementFactory.getThreadMXBean();
  /** Processor time that the compiler gets to know the code. */
  private static final long WARM_UP_NS = 2_000_000_000L;

  /** One call: answers for a row. */
  private interface Call {
    double[] answer(int row) throws Exception;
  }

  private static double[] rows;
  private static int width;
  /** Numbers of an answer; score0 wants room for one more of a regression. */
  private static int len;
  private static int next = 0;
  /** Keeps answers from being optimised away. */
  private static double sink = 0;

  public static void main(String[] args) throws Exception {
    String mode = args[0];
    String file = args[1];
    long start = CLOCK.getCurrentThreadCpuTime();
    MojoModel model = MojoModel.load(file);
    long first = CLOCK.getCurrentThreadCpuTime() - start;
    width = model.nfeatures();
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(new File(args[2]).toPath()));
    rows = new double[bytes.capacity() / 8];
    bytes.order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer().get(rows);
    int n = rows.length / width;
    len = mode.equals("contributions") ? width + 1 : model.isClassifier() ? model.nclasses() + 1 : 1;
    Call call = call(mode, file, model, n);
    // Of loads the second one counts as well: no warming up.
    long warm = CLOCK.getCurrentThreadCpuTime();
    while (!mode.equals("load") && CLOCK.getCurrentThreadCpuTime() - warm < WARM_UP_NS) {
      run(call, n, 256);
    }
    System.out.println("ready " + first);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] words = line.split(" ");
      if (words[0].equals("answers")) {
        write(call, n, words[1]);
        System.out.println(0);
      } else {
        long from = CLOCK.getCurrentThreadCpuTime();
        run(call, n, Integer.parseInt(words[2]));
        System.out.println(CLOCK.getCurrentThreadCpuTime() - from);
      }
    }
    if (sink == 42) {
      System.err.println(sink);
    }
  }

  private static void run(Call call, int n, int count) throws Exception {
    for (int i = 0; i < count; i++) {
      sink += call.answer(next)[0];
      next = next + 1 == n ? 0 : next + 1;
    }
  }

  private static void write(Call call, int n, String path) throws Exception {
    try (DataOutputStream out =
        new DataOutputStream(new BufferedOutputStream(new FileOutputStream(path)))) {
      for (int row = 0; row < n; row++) {
        double[] answer = call.answer(row);
        for (int i = 0; i < len; i++) {
          out.writeLong(Long.reverseBytes(Double.doubleToRawLongBits(answer[i])));
        }
      }
    }
  }

  private static Call call(String mode, String file, MojoModel model, int n) throws Exception {
    double[] row = new double[width];
    switch (mode) {
      case "score": {
        double[] preds = new double[model.getPredsSize()];
        return at -> {
          System.arraycopy(rows, at * width, row, 0, width);
          return model.score0(row, preds);
        };
      }
      case "typed":
        return typed(model, n);
      case "contributions": {
        PredictContributions predictor =
            ((PredictContributionsFactory) model).makeContributionsPredictor();
        return at -> {
          System.arraycopy(rows, at * width, row, 0, width);
          float[] found = predictor.calculateContributions(row);
          double[] answer = new double[found.length];
          for (int i = 0; i < found.length; i++) {
            answer[i] = found[i];
          }
          return answer;
        };
      }
      case "load":
        return at -> new double[] {MojoModel.load(file).nfeatures()};
      default:
        throw new IOException("no mode is called " + mode);
    }
  }

  /** A caller's rows: numbers as Double, levels as text, absent where NaN. */
  private static Call typed(MojoModel model, int n) {
    RowData[] given = new RowData[n];
    for (int at = 0; at < n; at++) {
      given[at] = new RowData();
      for (int i = 0; i < width; i++) {
        double value = rows[at * width + i];
        String[] levels = model.getDomainValues(i);
        if (!Double.isNaN(value)) {
          given[at].put(model.getNames()[i], levels == null ? (Object) value : levels[(int) value]);
        }
      }
    }
    EasyPredictModelWrapper wrapper = new EasyPredictModelWrapper(model);
    return at -> {
      AbstractPrediction prediction = wrapper.predict(given[at]);
      if (prediction instanceof BinomialModelPrediction) {
        BinomialModelPrediction found = (BinomialModelPrediction) prediction;
        return classes(found.labelIndex, found.classProbabilities);
      } else if (prediction instanceof MultinomialModelPrediction) {
        MultinomialModelPrediction found = (MultinomialModelPrediction) prediction;
        return classes(found.labelIndex, found.classProbabilities);
      }
      return new double[] {((RegressionModelPrediction) prediction).value};
    };
  }

  private static double[] classes(int label, double[] probabilities) {
    double[] answer = new double[probabilities.length + 1];
    answer[0] = label;
    System.arraycopy(probabilities, 0, answer, 1, probabilities.length);
    return answer;
  }
}
