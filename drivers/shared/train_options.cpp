#include "shared/train_options.hpp"

#include <algorithm>
#include <cmath>

#include "mercer/base/text.hpp"
#include "mercer/data/preparation_file.hpp"
#include "mercer/net/parameters.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;

namespace {

/// "1,2,5" -> 1, 2, 5. Throws InputError.
std::vector<Index> parse_directions(const std::string& text) {
  constexpr double kMost = 1e6;  // of a range
  std::vector<Index> which;
  const auto take = [&](double value) {
    if (!(value >= 1 && value < 1e15) || value != std::floor(value))
      throw InputError("--directions {}: give the numbers of eigenvectors, from 1: 1,2,5 or 1-20",
                       text);
    which.push_back(static_cast<Index>(value));
  };
  for (const auto& part : words(text, ',')) {
    const auto dash = part.find('-', 1);
    const auto first = parse_numbers("--directions", part.substr(0, dash));
    take(first.front());
    if (dash == std::string::npos) continue;
    const auto last = parse_numbers("--directions", part.substr(dash + 1));
    if (!(first.front() <= last.front() && last.front() <= kMost))
      throw InputError("--directions {}: {} is not a range: give e.g. 1-20", text, part);
    take(last.front());
    for (double value = first.front() + 1; value < last.front(); ++value) take(value);
  }
  std::ranges::sort(which);
  which.erase(std::unique(which.begin(), which.end()), which.end());
  return which;
}

/// A whole number from 1. Throws InputError, naming the whole `list`.
Index function_number(const std::string& text, const std::string& list) {
  const auto digits = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.size() > 12 || !std::ranges::all_of(text, digits) || text[0] == '0')
    throw InputError(
        "--eigenfunctions {}: '{}' is not the number of an eigenpair: give e.g. 1-10, or 1,2+3,4+5 "
        "with spaces of several",
        list, text);
  return std::stoll(text);
}

/// "1-3,4+5" -> the spaces {1}, {2}, {3}, {4, 5}. Throws InputError.
std::vector<spectral::Space> parse_functions(const std::string& text) {
  constexpr Index kMost = 1'000'000;
  std::vector<spectral::Space> spaces;
  for (const auto& part : words(text, ',')) {
    const auto ends = words(part, '-');
    if (ends.size() == 2) {
      const Index first = function_number(ends[0], text), last = function_number(ends[1], text);
      if (last < first || last > kMost)
        throw InputError("--eigenfunctions {}: {} is not a range: give e.g. 1-10", text, part);
      for (Index i = first; i <= last; ++i) spaces.push_back({.first = i - 1});
      continue;
    }
    const auto members = words(part, '+');
    const Index first = function_number(members[0], text);
    for (std::size_t i = 1; i < members.size(); ++i)
      if (function_number(members[i], text) != first + static_cast<Index>(i))
        throw InputError("--eigenfunctions {}: the members of a space follow one another: {}+{}",
                         text, first, first + 1);
    spaces.push_back({.first = first - 1, .size = std::ssize(members)});
  }
  return spaces;
}

/// "kernel,path" -> what is tracked. Throws InputError.
jobs::Track parse_track(const std::string& text) {
  jobs::Track track;
  const std::pair<const char*, bool*> names[] = {{"kernel", &track.kernel},
                                                 {"minimum", &track.minimum},
                                                 {"path", &track.path},
                                                 {"alignment", &track.alignment}};
  for (const auto& part : words(text, ',')) {
    const auto* found =
        std::ranges::find(names, part, [](const auto& n) { return std::string(n.first); });
    if (found == std::end(names))
      throw InputError("--track {}: '{}' is none of kernel, minimum, path, alignment", text, part);
    *found->second = true;
  }
  return track;
}

/// Throws InputError where an option was given but what it needs is not there.
void require(const CommandLine& line, const char* option, const char* what, bool there) {
  if (line.given(option) && !there) throw InputError("--{}: needs {}", option, what);
}

/// Is `value` the first of the two allowed words? Throws InputError where it is neither.
bool is_first(const char* option, const std::string& value, const char* first, const char* second) {
  if (value != first && value != second)
    throw InputError("--{} {}: give {} or {}", option, value, first, second);
  return value == first;
}

}  // namespace

void TrainLine::add(CommandLine& line) {
  add_network(line);
  add_preconditioner(line);
  add_descent(line);
  add_traces(line);
}

void TrainLine::add_network(CommandLine& line) {
  auto network = line.group("Network: --arch with widths, or --depth and --width").add_options();
  network("width", po::value(&width_)->value_name("W"),
          "units of each hidden layer of --depth; the last layer has one for each target column");
  network("parametrization",
          po::value(&parametrization_)->value_name("ntk|standard")->default_value("ntk"),
          "ntk: z = sigma_w/sqrt(fan_in) W a + sigma_b b with entries of W and b ~ N(0, 1); "
          "standard: z = W a + b with W ~ N(0, sigma_w^2/fan_in), b ~ N(0, sigma_b^2)");
  network("init",
          po::value(&init_)->value_name("antisymmetric|gaussian")->default_value("antisymmetric"),
          "antisymmetric: f = (f(w) - f(w'))/sqrt(2) with w' = w at the start, so that the initial "
          "output is 0, as the theory requires; gaussian: one copy, whose initial output is of "
          "order 1 at any width");
  network("init-parameters", po::value(&init_parameters_)->value_name("W.h5"),
          "start from these weights: /parameters of a result, or of another program");
  network("model", po::value(&model)->value_name("T.h5"),
          "do not train: predict --test from this result or from weights of another program. Rows "
          "are prepared as the file states; where it states nothing, they are taken as they are");
}

void TrainLine::add_preconditioner(CommandLine& line) {
  auto& s_group = line.group("Preconditioner S: S K has the eigenvalues g(lambda_i) for i <= top");
  auto s = s_group.add_options();
  s("precondition", po::value(&precondition_)->value_name("none|kernel|empirical"),
    "none: plain gradient descent. kernel: S from the analytic kernel of the architecture: right "
    "for wide networks, and its pairs can be stored (--spectrum). empirical: S from the tangent "
    "kernel of the network itself, at the start or every --refresh steps: right for networks of "
    "moderate width, and where training leaves the linear regime. Default: with --top, --g or "
    "--spectrum kernel, with --batch too empirical (--stochastic rows, block: kernel); none "
    "otherwise");
  s("top", po::value(&options.top)->value_name("K")->default_value(-1, "n"),
    "how many eigenvalues g changes; with --stochastic block, in each block; with --stochastic "
    "parameters, of the n c eigenvalues of rows and outputs");
  s("g", po::value(&options.g)->value_name("NAME|EXPR")->default_value("flat"),
    "flat, flat:c, power:p, inverse (with top = n: S = K^-1), table:FILE, or an expression in l "
    "(lambda_i), lk (lambda_(k+1)), l1 (lambda_1), i; g > 0");
  s("spectrum", po::value(&options.spectrum.file)->value_name("S.h5"),
    "eigenpairs of the same data and kernel, stored by mercer-spectrum; --g acts on all of them "
    "unless --top says less");
  s("solver", po::value(&solver_)->value_name("NAME")->default_value("auto"),
    "solver of the pairs. elpa1, elpa2, scalapack, lapack: direct, from the assembled K. krylov: "
    "from matrix-vector products, K is never assembled: right for few pairs and where K does not "
    "fit. auto: of those that fit, the one that Mercer's model predicts to be fastest");
  s("advise", po::bool_switch(&advise),
    "do not train: for several --top, the steps that linear theory needs to --tol or --loss, and "
    "times and memory of S and of a step");
  s("joint-outputs", po::bool_switch(&options.joint_outputs),
    "empirical, full batches: S of the (n c) x (n c) kernel of all rows and outputs; otherwise "
    "that of the mean over the outputs acts on each output by itself");
  storage_.add(s_group, options.storage);
  s("refresh", po::value(&options.descent.refresh)->value_name("T")->default_value(0, "never"),
    "empirical: compute S again every T steps");
}

void TrainLine::add_descent(CommandLine& line) {
  auto& o = options.descent;
  auto descent =
      line.group("Descent: w <- w - eta J^T S r, r = f(X; w) - Y (eta is not divided by n)")
          .add_options();
  descent(
      "lr", po::value(&rate_)->value_name("auto|X")->default_value("auto"),
      "eta; auto: 1/lambda_max(J J^T S), measured on the network by Lanczos' recursion, again with "
      "each new S; with --batch (1 - M)/(beta + (B - 1) lambda), M of --momentum, as the log says");
  descent("safety", po::value(&o.safety)->value_name("F")->default_value(1.0, "1"),
          "multiplies --lr auto by F < 2");
  descent(
      "safeguard", po::value(&safeguard_)->value_name("on|off")->default_value("on"),
      "line search for --lr auto, without --momentum: a step without sufficient decrease (half of "
      "what the linear model predicts) halves eta, one without a tenth is also rejected and tried "
      "again; eta grows where the model holds. With --batch: an epoch that ends above 4 times the "
      "least loss (rows with S: above it, and without --momentum) is rejected; not for "
      "--stochastic block");
  descent("steps", po::value(&o.steps)->value_name("N")->default_value(o.steps), "at most N steps");
  descent("tol", po::value(&o.tolerance)->value_name("E")->default_value(0.0, "0"),
          "stop at |r_t| <= E |r_0|");
  descent("loss", po::value(&o.loss)->value_name("E")->default_value(0.0, "0"),
          "stop at mean r^2 <= E");
  descent("max-seconds", po::value(&o.max_seconds)->value_name("T")->default_value(0.0, "none"),
          "stop after T seconds of training");
  descent("batch", po::value(&o.batch)->value_name("B")->default_value(0, "all"),
          "rows in a step, over all ranks; an epoch is cut into steps of nearly as many rows each");
  descent(
      "stochastic", po::value(&stochastic_)->value_name("parameters|rows|block"),
      "how --batch uses S. parameters (the default): S on the parameters, w <- w - eta (I - "
      "sum_i (1 - g_i/lambda_i) psi_i psi_i^T) J_B^T r_B, psi_i = J^T v_i/sqrt(n lambda_i): it "
      "damps the noise of batches and needs K numbers for each parameter; --lr auto is "
      "1/(beta + (B - 1) lambda_(k+1)). rows: the batch's rows of S r, with stale residuals of "
      "the other rows: batches excite the modes that S damps, and --safety must be far below "
      "1. block: random blocks of B rows, each with the S of its own kernel block: for S = K^-1 "
      "of few rows. Without S all are stochastic gradient descent");
  descent("new-blocks", po::bool_switch(&options.new_blocks),
          "block: draw the blocks anew in each epoch, and compute the S of each");
  descent("sample", po::value(&options.sample)->value_name("N")->default_value(0, "chosen"),
          "parameters: random rows whose kernel gives the pairs, beta and lambda (all where rows x "
          "outputs is at most 4096; without S, for the rate alone, 2048)");
  descent("residual-refresh",
          po::value(&o.residual_refresh)->value_name("E")->default_value(0, "an epoch"),
          "parameters, rows: evaluate the residual of all rows every E steps");
  descent("weight-decay", po::value(&o.weight_decay)->value_name("L")->default_value(0.0, "0"),
          "w <- w - eta (J^T S r + L (w - w_0)): full batches end at kernel ridge regression with "
          "--ridge L/n, batches near it: their noise stays while eta does");
  descent("decay-to", po::value(&decay_to_)->value_name("start|zero")->default_value("start"),
          "zero: L w in place of L (w - w_0). Ridge regression only for the first layer of a ReLU "
          "network without biases (--train-layers first), when eta L t is 1 or 2: later nothing is "
          "left of the start, exp(-eta L t) w_0, on which K depends");
  descent("momentum", po::value(&o.momentum)->value_name("M")->default_value(0.0, "0"),
          "of the heavy ball: v <- M v - eta J^T S r, w <- w + v");
}

void TrainLine::add_traces(CommandLine& line) {
  auto trace = line.group("Traces and checkpoints").add_options();
  trace(
      "directions", po::value(&directions_)->value_name("I,J-K,...|none"),
      "eigenvectors v_i of K for which |v_i^T r_t| is recorded, beside the theory's r_t = (I - "
      "eta n K S)^t r_0 (not with --momentum or --weight-decay); default: with S on residuals the "
      "first eight and some up to --top, otherwise none");
  trace("trace-kernel", po::bool_switch(&options.trace_kernel),
        "record |K_t - K_0|/|K_0| of the empirical kernel: an n x n matrix at each record");
  trace(
      "eigenfunctions", po::value(&eigenfunctions_)->value_name("I-J,K+L,..."),
      "record <r_t, phi_i> over the --test rows for these eigenfunctions of K, beside exp(-sigma_i "
      "t) <r_0, phi_i>, and how far theory is off; K+L counts as one space, and so do equal "
      "eigenvalues");
  trace("track", po::value(&track_)->value_name("WHAT,..."),
        "record of the network's own kernel K_t, an n x n matrix at each record: kernel (|K_t - "
        "K_0|, |K_0 - K_inf| in Frobenius and operator norm, |(K_t - K_0) S|), minimum "
        "(lambda_min(K_t) and the bound of the loss by it), alignment (with the targets); and path "
        "(sum of |w_j - w_(j-1)|)");
  trace("operator-spectrum", po::bool_switch(&options.operator_spectrum),
        "lambda_max and lambda_min of K_0 S, K_0 the network's initial kernel: an n x n "
        "eigenproblem");
  trace("csv", po::value(&csv)->value_name("FILE.csv"),
        "write the records, but for the directions, as a table");
  trace("record-every",
        po::value(&options.descent.record_every)->value_name("N")->default_value(0, "chosen"),
        "steps between records (chosen: dense at first, about 200 in all)");
  trace("checkpoint", po::value(&options.checkpoint)->value_name("FILE"),
        "state of the training, written every --checkpoint-every steps and at a signal: see "
        "mercer-krr --help");
  trace("checkpoint-every",
        po::value(&options.descent.checkpoint_every)
            ->value_name("N")
            ->default_value(0, "when interrupted"),
        "steps between checkpoints");
  trace("resume", po::bool_switch(&options.resume), "go on from --checkpoint FILE");
}

void TrainLine::read(const CommandLine& line) {
  if (train.empty())
    throw InputError("--train: give the training set, e.g. --train circle:n=64,freq=5,grid");
  of_option("--parametrization", [&] { return net::parse_parametrization(parametrization_); });
  of_option("--init", [&] { return net::parse_start(init_); });
  if (parametrization_ == "standard")
    for (const auto& [name, value] : line.settings())
      if (name == "kernel" && value != "ntk")
        throw InputError(
            "--parametrization standard: takes S from --kernel ntk (in this parametrisation) or "
            "from --precondition empirical, not from --kernel {}",
            value);

  read_preconditioner(line);
  read_descent(line);
  options.descent.seed = common.seed;
  common.times = advise;
  if (line.given("directions") && directions_ != "none")
    options.directions = parse_directions(directions_);
  options.default_directions = directions_.empty();
  if (line.given("eigenfunctions")) options.eigenfunctions = parse_functions(eigenfunctions_);
  if (line.given("track")) options.track = parse_track(track_);
  require(line, "eigenfunctions", "--test SPEC: they are of the test rows", !test.empty());
  for (const char* option :
       {"out", "plot", "csv", "checkpoint", "check", "eigenfunctions", "track"})
    if (advise && line.given(option)) throw InputError("--{}: is not for --advise", option);
  require(line, "checkpoint-every", "--checkpoint FILE", !options.checkpoint.empty());
  options.validate();
}

void TrainLine::expect_no_training(CommandLine& line) const {
  line.expect_only("model test limit-test target header index image seed precision",
                   fmt::format("is for a training, but --model {} is trained, and states how rows "
                               "are prepared: leave it out",
                               model));
  if (test.empty()) throw InputError("--test: give the rows that --model {} is to predict", model);
}

void TrainLine::read_preconditioner(const CommandLine& line) {
  const bool asked = line.given("top") || line.given("g") || line.given("spectrum");
  const bool own = line.given("batch") && (stochastic_.empty() || stochastic_ == "parameters") &&
                   !line.given("spectrum") && !line.given("kernel");
  if (precondition_.empty())
    precondition_ = !asked && !advise ? "none" : own ? "empirical" : "kernel";
  if (precondition_ == "kernel")
    options.precondition = jobs::Precondition::kernel;
  else if (precondition_ == "empirical")
    options.precondition = jobs::Precondition::empirical;
  else if (precondition_ != "none")
    throw InputError("--precondition {}: give none, kernel or empirical", precondition_);
  if (asked && !options.preconditioned())
    throw InputError("--precondition none: takes no --top, --g or --spectrum");
  const bool uses_kernel =
      precondition_ == "kernel" ||
      (precondition_ == "none" && (line.given("directions") || line.given("eigenfunctions")));
  require(line, "kernel",
          "--precondition kernel, --directions or --eigenfunctions: nothing else here uses it",
          uses_kernel);
  options.method = spectral::parse_method(solver_);
  storage_.read();
  require(
      line, "storage",
      "--top, --g, --directions or --eigenfunctions, and no --spectrum: only then are pairs of K "
      "computed",
      options.spectrum.empty() &&
          (options.preconditioned() || line.given("directions") || line.given("eigenfunctions")));
  require(line, "state", "--precondition kernel, of a kernel that is computed",
          uses_kernel && options.computes_kernel());
  require(line, "refresh", "--precondition empirical: the analytic kernel does not change",
          options.precondition == jobs::Precondition::empirical);
}

void TrainLine::read_descent(const CommandLine& line) {
  auto& o = options.descent;
  using train::Stochastic;
  if (stochastic_ == "rows" || stochastic_ == "block")
    o.stochastic = stochastic_ == "rows" ? Stochastic::rows : Stochastic::block;
  else if (!stochastic_.empty() && stochastic_ != "parameters")
    throw InputError("--stochastic {}: give parameters, rows or block", stochastic_);
  require(line, "stochastic", "--batch B, the rows of a step", line.given("batch"));
  require(line, "residual-refresh", "--batch B, without --stochastic block",
          o.batch > 0 && !options.blocks());
  const bool to_start = is_first("decay-to", decay_to_, "start", "zero");
  o.decay_to = to_start ? train::DecayTo::start : train::DecayTo::zero;
  require(line, "decay-to", "--weight-decay L", o.weight_decay > 0);
  if (line.given("batch") && o.batch < 1)
    throw InputError("--batch {}: give at least 1 row", o.batch);
  if (rate_ == "auto") {
    o.rate = 0;
  } else {
    o.rate = parse_number("--lr", rate_);
    if (!(o.rate > 0 && std::isfinite(o.rate)))
      throw InputError("--lr {}: give a positive number or auto", rate_);
    require(line, "safety", "--lr auto", false);
  }
  const bool guarded = o.rate == 0 && !options.blocks() && (o.momentum == 0 || o.batch > 0);
  o.safeguard = is_first("safeguard", safeguard_, "on", "off") && guarded;
  if (line.given("safeguard") && safeguard_ == "on" && !guarded)
    throw InputError(
        "--safeguard on: needs --lr auto, not --stochastic block, and of full batches no "
        "--momentum: leave it out");
}

net::Network TrainLine::network(const CommandLine& line, const data::Dataset& train) const {
  auto architecture = line.architecture();
  if (width_ != 0) {
    if (line.given("arch")) throw InputError("--width: belongs to --depth; write it into --arch");
    if (width_ < 0) throw InputError("--width {}: give at least 1", width_);
    Index left = architecture.depth();
    for (auto& layer : architecture.layers)
      if (auto* dense = std::get_if<arch::Dense>(&layer.what))
        dense->width = left-- > 0 ? width_ : train.outputs();
  } else if (!line.given("arch")) {
    throw InputError(
        "give the network: --arch \"dense(1024) relu dense({})\", or --depth L --width W",
        train.outputs());
  }
  if (!architecture.has_widths())
    throw InputError(
        "--arch {}: a network needs the width of every layer, e.g. \"{} relu {}dense({})\"",
        architecture.text(), architecture.of_images() ? "conv(3,64)" : "dense(1024)",
        architecture.of_images() ? "gap " : "", train.outputs());
  architecture = architecture.on(line.image_of_rows(train.inputs.comm()));
  net::Network network(architecture, train.dimension(),
                       net::parse_parametrization(parametrization_), net::parse_start(init_));
  if (network.outputs() != train.outputs())
    throw InputError(
        "--arch {}: the last layer has {} units, but the targets have {} columns{}",
        architecture.text(), network.outputs(), train.outputs(),
        train.outputs() == 1 ? " (labels become a column for each class with --one-hot)" : "");
  return network;
}

template <class T>
std::vector<T> TrainLine::start(const net::Network& network, const data::Preparation& preparation,
                                Session& session) const {
  // At the start, now, and a gradient: before the plan, which needs the first of them.
  session.resources(plan::Machine{})
      .expect(3.0 * sizeof(T) * static_cast<double>(network.parameters()),
              fmt::format("three copies of the network's {} parameters", network.parameters()));
  if (init_parameters_.empty()) return network.initial<T>(common.seed);
  const auto file = io::Hdf5File::open(session.comm(), init_parameters_);
  const auto w = net::read_parameters(file, network);
  if (const auto there = data::find_preparation(file))
    if (const auto text = data::difference(*there, preparation); !text.empty())
      session.warn(fmt::format("--init-parameters {}: {}", init_parameters_, text));
  return {w.begin(), w.end()};
}

template std::vector<double> TrainLine::start(const net::Network&, const data::Preparation&,
                                              Session&) const;
template std::vector<float> TrainLine::start(const net::Network&, const data::Preparation&,
                                             Session&) const;

}  // namespace mercer::drivers
