#include <algorithm>
#include <type_traits>

#include "mercer/base/error.hpp"
#include "mercer/base/hash.hpp"
#include "mercer/base/text.hpp"
#include "mercer/net/parameters.hpp"
#include "row_identity.hpp"
#include "training_observers.hpp"

namespace mercer::jobs {

namespace {

/// Everything that affects the steps of a run and its records. Collective.
io::Identity settings_and_inputs(const TrainingPlan& plan, const data::Split& sets,
                                 const comm::Communicator& comm) {
  const auto& options = plan.options;
  const auto& o = options.descent;
  const auto& train = sets.train;
  const auto number = [](double value) { return fmt::format("{:.17g}", value); };
  const auto whole = [](auto value) { return fmt::format("{}", value); };
  io::Identity id{{"network", plan.network},
                  {"training rows", whole(train.rows())},
                  {"data hash", hash_text(train.hash)},
                  {"target hash", hash_text(train.target_hash)},
                  {"precision", plan.single ? "single" : "double"},
                  {"`seed`", whole(plan.seed)},
                  {"initial weights", hash_text(plan.start_hash)},
                  {"`precondition`", name(options.precondition)},
                  {"`rate`", o.rate > 0 ? number(o.rate) : "auto x " + number(o.safety)},
                  {"`weight_decay`", number(o.weight_decay)},
                  {"`decay_to`", train::name(o.decay_to)},
                  {"`momentum`", number(o.momentum)},
                  {"`batch`", whole(o.batch)}};
  if (options.preconditioned()) {
    id.emplace_back("the kernel", plan.kernel.text());
    id.emplace_back("entries of the kernel's file", contents_of(comm, plan.kernel));
    id.emplace_back("`top`", whole(options.top));
    id.emplace_back("`g`", options.g);
    id.emplace_back("table of `g`", contents_of_table(comm, options.g));
    id.emplace_back("pairs of `spectrum`", options.spectrum.contents(comm));
    id.emplace_back("`refresh`", whole(o.refresh));
    id.emplace_back("`joint_outputs`", options.joint_outputs ? "on" : "off");
  }
  if (o.batch > 0) {
    id.emplace_back("`stochastic`", train::name(o.stochastic));
    id.emplace_back("`residual_refresh`", whole(o.residual_refresh));
    id.emplace_back("`sample`", whole(plan.sample));
    id.emplace_back("`new_blocks`", options.new_blocks ? "on" : "off");
  }
  id.emplace_back("test rows", sets.test ? hash_text(sets.test->hash) : "none");
  id.emplace_back("test targets", sets.test ? hash_text(sets.test->target_hash) : "none");
  id.emplace_back("`trace_kernel`", options.trace_kernel ? "on" : "off");
  id.emplace_back("`directions`", options.directions.empty()
                                      ? "none"
                                      : fmt::format("{}", fmt::join(options.directions, ",")));
  const auto& track = options.track;
  id.emplace_back("`track`", fmt::format("{}{}{}{}", track.kernel ? "kernel " : "",
                                         track.minimum ? "minimum " : "", track.path ? "path " : "",
                                         track.alignment ? "alignment" : ""));
  std::string functions;
  for (const auto& space : options.eigenfunctions)
    functions += fmt::format("{}+{} ", space.first + 1, space.size);
  id.emplace_back("`eigenfunctions`", functions.empty() ? "none" : functions);
  id.emplace_back("`safeguard`", o.safeguard ? "on" : "off");  // last: other fields switch it off
  return id;
}

/// Throws InputError where S or the directions need more pairs than the `given` ones. Local.
void check_given_pairs(const TrainingPlan& plan, Index n, Index given) {
  const auto& options = plan.options;
  const Index needed = row_sets(plan, n, 1).k;
  if (given > 0 && needed > given)  // read() says what is missing at 0
    throw InputError("{}: holds {} eigenpairs, but {} are needed: give `top` {}{}",
                     options.spectrum.text(), given, needed, given,
                     options.directions.empty() || options.default_directions
                         ? ""
                         : " and `directions` up to that");
}

/// Throws InputError where the rows or the network lack what is to be recorded. Local.
void check_traces(const TrainingPlan& plan, const net::Network& network, const data::Split& sets) {
  const auto& options = plan.options;
  if (!options.eigenfunctions.empty() &&
      !(sets.test.has_value() && sets.test->outputs() > 0 && sets.test->known_rows > 0))
    throw InputError(
        "`eigenfunctions`: are those of the residual on test rows: give `test` rows "
        "with targets");
  if (!options.track.kernel) return;
  if (const auto limit = limit_of(network); limit.kernel == nullptr)
    throw InputError(
        "`track` kernel: compares with the kernel of infinite width, but {}: give "
        "`trace_kernel` for |K_t - K_0| alone",
        limit.lacks);
}

/// The rows of which S on the parameters, or the rate of plain batches, is computed.
void choose_sample(TrainingPlan& plan, const net::Network& network, Index n) {
  const auto& options = plan.options;
  const bool S = options.on_parameters();
  if (!S && !options.plain_batches()) return;
  const Index c = network.outputs(), top = std::max<Index>(0, options.top);
  const Index numbers = S ? std::max(kPairNumbers, 4 * top) : kRateNumbers;
  plan.sample = options.sample > 0 ? options.sample : std::min(n, ceil_div(numbers, c));
  if (S && top > plan.sample * c)
    throw InputError(
        "`top` {}: the pairs are computed of {}, {} in all: give 1 ... {}, or a larger "
        "`sample`",
        top, counted(plan.sample, "row") + " x " + counted(c, "output"), plan.sample * c,
        plan.sample * c);
}

/// Whether the kernel of S is the network's own, or the limit of it.
bool is_tangent(const TrainingPlan& plan, const net::Network& network) {
  if (plan.options.precondition == Precondition::empirical) return true;
  const auto limit = limit_of(network).kernel;
  return limit != nullptr && plan.kernel.text() == limit->text();
}

}  // namespace

double activation_bytes(const Resources& resources) {
  constexpr double kUsual = 1e9;
  return resources.memory_limit > 0 ? std::min(kUsual, resources.memory_limit / 4) : kUsual;
}

template <class T>
TrainingPlan plan(const TrainingOptions& asked, const net::Network& network,
                  const gram::Source& kernel, const data::Split& sets, std::span<const T> w_0,
                  const Resources& resources, const comm::Communicator& comm, double load_seconds) {
  check_fit(network, sets, w_0.size());
  const Index given = asked.spectrum.count(comm, sets.train.rows());
  TrainingPlan plan{.options = asked.validated(sets.train.rows(), given),
                    .kernel = training_kernel<T>(asked, kernel, network, w_0),
                    .nb_asked = resources.nb,
                    .seed = resources.seed,
                    .single = std::is_same_v<T, float>,
                    .stages = resources.plan()};
  plan.notes = plan.kernel.verify(comm, identity_of("training", sets.train));
  plan.options.descent.seed = resources.seed;
  plan.options.descent.path = plan.options.track.path;
  plan.activation_bytes = activation_bytes(resources);
  plan.network = network.text();
  plan.rows_hash = sets.train.hash;
  plan.start_hash = net::hash<T>(w_0);
  if (plan.options.blocks() && plan.kernel.is_stored())
    throw InputError(
        "`stochastic` block: takes K of the rows of each block, which needs a kernel function, not "
        "{}",
        plan.kernel.text());
  choose_sample(plan, network, sets.train.rows());
  const Index most = sets.train.rows() * network.outputs();
  if (plan.options.joint_outputs && plan.options.top > most)
    throw InputError("`top` {}: give 1 ... {} eigenpairs, the rows times the outputs",
                     plan.options.top, most);
  plan.tangent = is_tangent(plan, network);
  check_given_pairs(plan, sets.train.rows(), given);
  check_traces(plan, network, sets);
  plan_stages<T>(plan, network, sets, w_0, given, resources, load_seconds);
  if (plan.options.checkpoint.empty()) return plan;
  const auto& o = plan.options.descent;
  plan.identity = settings_and_inputs(plan, sets, comm);
  auto settings = settings_of(resources, comm.size());
  plan.settings = std::move(settings.settings);
  plan.of_rounding = std::move(settings.of_rounding);
  if (plan.solves) {
    plan.settings.emplace_back("`method`", spectral::name(plan.options.method));
    plan.settings.emplace_back("`storage`", gram::name(plan.options.storage));
    plan.of_rounding.emplace_back("`method`");
  }
  plan.settings.emplace_back("`steps`", fmt::format("{}", o.steps));
  plan.settings.emplace_back("`tolerance`", fmt::format("{}", o.tolerance));
  plan.settings.emplace_back("`loss`", fmt::format("{}", o.loss));
  return plan;
}

template TrainingPlan plan<double>(const TrainingOptions&, const net::Network&, const gram::Source&,
                                   const data::Split&, std::span<const double>, const Resources&,
                                   const comm::Communicator&, double);
template TrainingPlan plan<float>(const TrainingOptions&, const net::Network&, const gram::Source&,
                                  const data::Split&, std::span<const float>, const Resources&,
                                  const comm::Communicator&, double);

}  // namespace mercer::jobs
