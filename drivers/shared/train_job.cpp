#include "shared/train_job.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/msk/spectrum_map.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/spectral/stored.hpp"
#include "shared/checkpoints.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

namespace {

/// "1,2,5" -> 1, 2, 5. Throws InputError.
std::vector<Index> parse_directions(const std::string& text) {
  std::vector<Index> which;
  for (const double value : parse_numbers("--directions", text)) {
    if (!(value >= 1 && value < 1e15) || value != std::floor(value))
      throw InputError("--directions {}: give the numbers of eigenvectors, from 1: 1,2,5", text);
    which.push_back(static_cast<Index>(value));
  }
  std::ranges::sort(which);
  which.erase(std::unique(which.begin(), which.end()), which.end());
  return which;
}

/// The first eight, then twice as far each time, up to k.
std::vector<Index> default_directions(Index k) {
  std::vector<Index> which;
  for (Index i = 1; i <= std::min<Index>(k, 8); ++i) which.push_back(i);
  for (Index i = 16; i <= k; i *= 2) which.push_back(i);
  return which;
}

}  // namespace

void TrainJob::add(CommandLine& line) {
  auto& o = options;
  auto network = line.group("Network: --arch with widths, or --depth and --width").add_options();
  network("width", po::value(&width)->value_name("W"),
          "units of each hidden layer of --depth; the last layer is as wide as the targets");
  network("parametrization",
          po::value(&parametrization)->value_name("ntk|standard")->default_value("ntk"),
          "ntk: z = sigma_w/sqrt(fan_in) W a + sigma_b b with entries of W and b ~ N(0, 1); "
          "standard: z = W a + b with W ~ N(0, sigma_w^2/fan_in), b ~ N(0, sigma_b^2)");
  network("init",
          po::value(&init)->value_name("antisymmetric|gaussian")->default_value("antisymmetric"),
          "antisymmetric: f = (f(w) - f(w'))/sqrt(2) with w' = w at the start, so that training "
          "starts at output 0, as the theory asks; gaussian: one copy, whose first output is of "
          "size 1 at any width");
  network("init-parameters", po::value(&init_parameters)->value_name("W.h5"),
          "start from these weights: /parameters of a result, or written elsewhere");

  auto s = line.group("Preconditioner S: S K has the eigenvalues g(lambda_i) for i <= top")
               .add_options();
  s("precondition", po::value(&precondition)->value_name("none|kernel|empirical"),
    "none: gradient descent. kernel: S of the analytic kernel of the same architecture: right for "
    "wide networks, and cheap to use again (--spectrum). empirical: S of the tangent kernel of the "
    "network as it stands, at the start or every --refresh steps: right for networks of moderate "
    "width, and where training leaves the linear regime. Default: kernel with --top, --g or "
    "--spectrum, none otherwise");
  s("top", po::value(&top)->value_name("K")->default_value(-1, "n"),
    "how many eigenvalues g changes; with --stochastic block those of each block");
  s("g", po::value(&g)->value_name("NAME|EXPR")->default_value("flat"),
    "flat, flat:c, power:p, inverse (with top = n: S = K^-1), table:FILE, or an expression in l "
    "(lambda_i), lk (lambda_(k+1)), l1 (lambda_1), i; g > 0");
  s("spectrum", po::value(&spectrum)->value_name("S.h5"),
    "stored eigenpairs of the same data and kernel, by mercer-spectrum");
  s("solver", po::value(&solver)->value_name("NAME")->default_value("auto"),
    "eigensolver: auto, elpa1, elpa2, scalapack, lapack");
  s("refresh", po::value(&o.refresh)->value_name("T")->default_value(0, "never"),
    "empirical: S anew every T steps");

  auto descent =
      line.group("Descent: w <- w - eta J^T S r, r = f(X; w) - Y; eta is divided by nothing")
          .add_options();
  descent("lr", po::value(&rate_)->value_name("auto|X")->default_value("auto"),
          "eta; auto: 1/lambda_max(J J^T S), measured by power iteration, again with each new S");
  descent("safety", po::value(&o.safety)->value_name("F")->default_value(1.0, "1"),
          "--lr auto times F");
  descent(
      "safeguard", po::value(&safeguard_)->value_name("on|off")->default_value("on"),
      "with --lr auto and no momentum, not for block: smaller steps where the loss falls by less "
      "than the linear model says, growing again where it holds; for rows, where an epoch made "
      "the loss grow");
  descent("steps", po::value(&o.steps)->value_name("N")->default_value(o.steps), "at most");
  descent("tol", po::value(&o.tolerance)->value_name("E")->default_value(0.0, "0"),
          "stop at |r_t| <= E |r_0|");
  descent("loss", po::value(&o.loss)->value_name("E")->default_value(0.0, "0"),
          "stop at mean r^2 <= E");
  descent("max-seconds", po::value(&o.max_seconds)->value_name("T")->default_value(0.0, "none"),
          "stop after T seconds of training");
  descent("batch", po::value(&o.batch)->value_name("B")->default_value(0, "all"),
          "rows a step, of all ranks together");
  descent("stochastic", po::value(&stochastic_)->value_name("rows|block")->default_value("rows"),
          "how --batch and S go together. rows: the batch's rows of S r, with r of the other rows "
          "as last seen: right when S couples all rows and --top is small; a batch excites the top "
          "modes that S damps, so that it takes a --safety far below 1 (lambda_(k+1)/lambda_1 is "
          "safe). block: fixed random blocks of B rows, each with the S of its own kernel block: "
          "right when K^-1 "
          "is meant, or "
          "when the S of all rows is too large. Without S both are stochastic gradient descent");
  descent("residual-refresh",
          po::value(&o.residual_refresh)->value_name("E")->default_value(0, "an epoch"),
          "rows: r of all rows anew every E steps");
  descent("weight-decay", po::value(&o.weight_decay)->value_name("L")->default_value(0.0, "0"),
          "eta (J^T S r + L w)");
  descent("momentum", po::value(&o.momentum)->value_name("M")->default_value(0.0, "0"),
          "heavy ball");

  auto trace = line.group("Traces and checkpoints").add_options();
  trace("directions", po::value(&directions_)->value_name("I,J,...|none"),
        "eigenvectors v_i of K along which |v_i^T r_t| is followed, beside the theory's r_t = (I - "
        "eta n K S)^t r_0; default: with S the first eight and some up to --top, none without");
  trace("trace-kernel", po::bool_switch(&trace_kernel),
        "|K_t - K_0|/|K_0| of the empirical kernel at each record: an n x n matrix each time");
  trace("operator-spectrum", po::bool_switch(&operator_spectrum),
        "lambda_max and lambda_min of K_0 S, K_0 the network's own kernel: an n x n eigenproblem");
  trace("csv", po::value(&csv)->value_name("FILE.csv"), "the records as a table");
  trace("record-every", po::value(&o.record_every)->value_name("N")->default_value(0, "chosen"),
        "steps between records; chosen: dense at first, about 200 in all");
  trace("checkpoint", po::value(&checkpoint)->value_name("FILE"),
        "written every --checkpoint-every steps, and when interrupted: see mercer-krr --help");
  trace("checkpoint-every",
        po::value(&o.checkpoint_every)->value_name("N")->default_value(0, "when interrupted"),
        "steps between checkpoints");
  trace("resume", po::bool_switch(&resume), "go on from --checkpoint FILE");
}

void TrainJob::settle(const CommandLine& line) {
  const auto both = [&](const char* option, const char* needs, bool there) {
    if (line.given(option) && !there) throw InputError("--{}: needs {}", option, needs);
  };
  const auto one_of = [](const char* option, const std::string& value, const char* first,
                         const char* second) {
    if (value != first && value != second)
      throw InputError("--{} {}: give {} or {}", option, value, first, second);
    return value == first;
  };
  if (train.empty())
    throw InputError("--train: give the training set, e.g. --train circle:n=64,freq=5,grid");
  net::parse_parametrization(parametrization);
  net::parse_start(init);
  if (parametrization == "standard")
    for (const auto& [name, value] : line.settings())
      if (name == "kernel" && value != "ntk")
        throw InputError(
            "--parametrization standard: S is that of --kernel ntk (in this parametrisation) or "
            "--precondition empirical, not --kernel {}",
            value);

  const bool asked = line.given("top") || line.given("g") || line.given("spectrum");
  if (precondition.empty()) precondition = asked ? "kernel" : "none";
  if (precondition != "none" && precondition != "kernel" && precondition != "empirical")
    throw InputError("--precondition {}: give none, kernel or empirical", precondition);
  if (asked && !preconditioned())
    throw InputError("--precondition none: takes no --top, --g or --spectrum");
  if (preconditioned()) msk::SpectrumMap::parse(g);  // throws before any work
  if (top == 0 || top < -1) throw InputError("--top {}: give at least 1 eigenpair", top);
  both("refresh", "--precondition empirical: the analytic kernel never changes", empirical());

  options.stochastic = one_of("stochastic", stochastic_, "rows", "block")
                           ? train::Stochastic::rows
                           : train::Stochastic::block;
  both("stochastic", "--batch B, the rows of a step", line.given("batch"));
  both("residual-refresh", "--batch B with --stochastic rows", options.batch > 0 && !blocks());
  if (line.given("batch") && options.batch < 1)
    throw InputError("--batch {}: give at least 1 row", options.batch);
  if (blocks() && !spectrum.empty())
    throw InputError(
        "--spectrum: holds eigenpairs of all rows, but --stochastic block has an S for each block");

  if (rate_ == "auto") {
    options.rate = 0;
  } else {
    options.rate = parse_numbers("--lr", rate_).at(0);
    if (!(options.rate > 0 && std::isfinite(options.rate)))
      throw InputError("--lr {}: give a positive number or auto", rate_);
    both("safety", "--lr auto", false);
  }
  const bool guarded = options.rate == 0 && options.momentum == 0 && !blocks();
  options.safeguard = one_of("safeguard", safeguard_, "on", "off") && guarded;
  if (line.given("safeguard") && safeguard_ == "on" && !guarded)
    throw InputError(
        "--safeguard on: works with --lr auto, without --momentum and --stochastic block: leave it "
        "out");
  options.seed = common.seed;
  options.validate();

  if (line.given("directions") && directions_ != "none") directions = parse_directions(directions_);
  if (blocks() && !directions.empty())
    throw InputError("--directions: are those of all rows' K; --stochastic block has none");
  if (blocks() && operator_spectrum)
    throw InputError("--operator-spectrum: is that of all rows; --stochastic block has none");
  both("checkpoint-every", "--checkpoint FILE", !checkpoint.empty());
  if (resume && checkpoint.empty()) throw InputError("--resume: needs --checkpoint FILE");
}

void TrainJob::settle(const data::Split& sets) {
  const Index n = sets.train.rows();
  if (options.batch > n)
    throw InputError("--batch {}: there are n = {} training rows", options.batch, n);
  const Index rows = blocks() ? n / ceil_div(n, options.batch) : n;
  if (top > rows)
    throw InputError("--top {}: give 1 ... {} eigenpairs, the rows of {}", top, rows,
                     blocks() ? "the smallest block" : "the training set");
  if (!directions.empty() && directions.back() > n)
    throw InputError("--directions {}: there are n = {} eigenvectors", directions.back(), n);
  if (directions.empty() && directions_.empty() && preconditioned() && !blocks())
    directions = default_directions(top < 0 ? n : top);
}

std::string TrainJob::description() const {
  if (!preconditioned()) return "none: gradient descent";
  std::string text = fmt::format("{}, g = {}", precondition, g);
  text += top < 0 ? ", all eigenvalues" : fmt::format(", top {}", top);
  if (options.refresh > 0) text += fmt::format(", anew every {}", counted(options.refresh, "step"));
  return text;
}

net::Network TrainJob::network(const CommandLine& line, const data::Dataset& train) const {
  auto architecture = line.architecture();
  if (width != 0) {
    if (line.given("arch")) throw InputError("--width: belongs to --depth; write it into --arch");
    if (width < 0) throw InputError("--width {}: give at least 1", width);
    Index left = architecture.depth();
    for (auto& layer : architecture.layers)
      if (auto* dense = std::get_if<arch::Dense>(&layer.what))
        dense->width = left-- > 0 ? width : train.outputs();
  } else if (!line.given("arch")) {
    throw InputError(
        "give the network: --arch \"dense(1024) relu dense({})\", or --depth L --width W",
        train.outputs());
  }
  if (!architecture.has_widths())
    throw InputError(
        "--arch {}: a network needs the width of every layer, e.g. \"dense(1024) relu dense({})\"",
        architecture.text(), train.outputs());
  net::Network network(architecture, train.dimension(), net::parse_parametrization(parametrization),
                       net::parse_start(init));
  if (network.outputs() != train.outputs())
    throw InputError(
        "--arch {}: the last layer has {} units, but the targets have {} columns{}",
        architecture.text(), network.outputs(), train.outputs(),
        train.outputs() == 1 ? " (labels become a column for each class with --one-hot)" : "");
  return network;
}

template <class T>
std::vector<T> TrainJob::start(const net::Network& network, const comm::Communicator& comm) const {
  if (init_parameters.empty()) return network.initial<T>(common.seed);
  const auto w = net::read_parameters(dist::Hdf5File::open(comm, init_parameters), network);
  return {w.begin(), w.end()};
}

train::Identity TrainJob::identity(const net::Network& network, const gram::Source& kernel,
                                   const data::Split& sets, std::uint64_t start_hash,
                                   const comm::Communicator& comm) const {
  const auto& o = options;
  const auto& train = sets.train;
  const auto number = [](double value) { return fmt::format("{:.17g}", value); };
  train::Identity id{{"network", network.text()},
                     {"training rows", fmt::format("{}", train.rows())},
                     {"data hash", spectral::hash_text(train.hash)},
                     {"target hash", spectral::hash_text(train.target_hash)},
                     {"precision", common.single_precision ? "single" : "double"},
                     {"seed", fmt::format("{}", common.seed)},
                     {"initial weights", spectral::hash_text(start_hash)},
                     {"--precondition", precondition},
                     {"--lr", o.rate > 0 ? number(o.rate) : "auto x " + number(o.safety)},
                     {"--weight-decay", number(o.weight_decay)},
                     {"--momentum", number(o.momentum)},
                     {"--batch", fmt::format("{}", o.batch)}};
  if (preconditioned()) {
    id.emplace_back("kernel", kernel.text());
    id.emplace_back("entries of the kernel's file", contents_of(comm, kernel));
    id.emplace_back("--top", fmt::format("{}", top));
    id.emplace_back("--g", g);
    id.emplace_back("table of --g", contents_of_table(comm, g));
    id.emplace_back("pairs of --spectrum", contents_of(comm, spectrum));
    id.emplace_back("--refresh", fmt::format("{}", o.refresh));
  }
  if (o.batch > 0) {
    id.emplace_back("--stochastic", blocks() ? "block" : "rows");
    id.emplace_back("--residual-refresh", fmt::format("{}", o.residual_refresh));
  }
  const auto hash = [](std::uint64_t value) { return spectral::hash_text(value); };
  id.emplace_back("test rows", sets.test ? hash(sets.test->hash) : "none");
  id.emplace_back("test targets", sets.test ? hash(sets.test->target_hash) : "none");
  id.emplace_back("--trace-kernel", trace_kernel ? "on" : "off");
  std::string traced;
  for (const Index i : directions) traced += fmt::format("{}{}", traced.empty() ? "" : ",", i);
  id.emplace_back("--directions", traced.empty() ? "none" : traced);
  id.emplace_back("--safeguard", o.safeguard ? "on" : "off");  // last: others switch it off
  return id;
}

train::Identity TrainJob::settings(int ranks) const {
  auto list = settings_of(common, ranks);
  list.emplace_back("--steps", fmt::format("{}", options.steps));
  list.emplace_back("--tol", fmt::format("{}", options.tolerance));
  list.emplace_back("--loss", fmt::format("{}", options.loss));
  return list;
}

template std::vector<double> TrainJob::start<double>(const net::Network&,
                                                     const comm::Communicator&) const;
template std::vector<float> TrainJob::start<float>(const net::Network&,
                                                   const comm::Communicator&) const;

}  // namespace mercer::drivers
