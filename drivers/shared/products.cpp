#include "shared/products.hpp"

#include <algorithm>

#include "mercer/base/memory.hpp"
#include "shared/signals.hpp"

namespace mercer::drivers {

namespace po = boost::program_options;
using gram::Storage;

void StorageJob::add(po::options_description& group) {
  group.add_options()(
      "storage",
      po::value(&typed_)->value_name("auto|double|single|none|mixed")->default_value(typed_),
      "what an iterative solver keeps of K. double: half of K, 4 n^2 bytes over all ranks: right "
      "where it fits. single: half of that; K is off by 3e-8 of its entries. none: K computed "
      "again in every product: right where nothing fits. mixed: as much in single as "
      "--memory-limit allows. auto: the first of double, single, mixed that fits");
}

void StorageJob::settle(const gram::Source& kernel, bool single_precision) {
  try {
    storage_ = gram::parse_storage(typed_);
  } catch (const InputError&) {
    throw InputError("--storage {}: give auto, double, single, none or mixed", typed_);
  }
  if (kernel.is_stored() && chosen() && storage_ != Storage::in_double)
    throw InputError("--storage {}: the kernel of {} is kept in double", typed_, kernel.text());
  if (single_precision && storage_ == Storage::in_double)
    throw InputError("--storage double: is not --precision single");
}

double room_for_solver(const Session& session, const forecast::Sizes& sizes) {
  const double share = session.options().memory_limit > 0 ? 1 : 0.8;  // of what nobody promised
  const double limit = share * session.memory_limit();
  constexpr double kMargin = 0.05;  // for what is not counted: holes in heaps, buffers of files
  return (1 - kMargin) * limit - session.plan().peak() - sizes.data_bytes();
}

void require_room(const Session& session, double room) {
  if (room > 0) return;
  const double limit = session.options().memory_limit;
  throw MemoryError(
      "the rows and the process itself take {} a rank more than the {}: a larger limit or more "
      "ranks",
      format_bytes(-room),
      limit > 0 ? "limit, " + format_bytes(limit) : "four fifths of this machine's memory");
}

namespace {

/// K of a file: both triangles, and the vectors of a product.
ProductPlan plan_stored(const forecast::Sizes& sizes, Index block, const Machine& machine) {
  const double n = static_cast<double>(sizes.n), b = static_cast<double>(block);
  const double P = sizes.ranks();
  const double parts = 1.0 / sizes.shape.rows + 1.0 / sizes.shape.cols;
  ProductPlan plan{.options = {.storage = Storage::in_double, .block = block}, .stored = true};
  auto& cost = plan.cost;
  cost.storage = Storage::in_double;
  cost.stored_share = 1;
  cost.entries = n * n / P;
  cost.bytes = 8 * n * n / P + 16 * n * b * parts;
  cost.block = block;
  cost.product = 2 * n * n * b / (P * machine.skinny);
  cost.sent = 8 * n * b * parts;
  return plan;
}

}  // namespace

ProductPlan plan_products(const gram::Source& kernel, const forecast::Sizes& sizes, Storage storage,
                          double room, Index block, const Machine& machine) {
  if (kernel.is_stored()) return plan_stored(sizes, block, machine);
  ProductPlan plan;
  plan.options = {.storage = storage, .memory_bytes = std::max(1.0, room), .block = block};
  const auto shape = sizes.shape;
  const auto planned = [&] {
    return gram::plan_operator(kernel.kernel(), sizes.n, sizes.d, block, shape, plan.options);
  };
  try {
    if (sizes.single && storage == Storage::automatic) {
      plan.options.storage = Storage::mixed;
      if (planned().stored_share == 1) plan.options.storage = Storage::in_single;
    } else {
      plan.options.storage = planned().storage;
    }
    plan.cost = forecast::kernel_operator(machine, sizes, plan.options, block);
  } catch (const MemoryError& error) {
    throw MemoryError(
        "{}; what the solver, the rows and the process itself take has been taken off",
        error.what());
  }
  return plan;
}

void write_storage(dist::Hdf5File& file, const ProductPlan& plan) {
  file.attribute("/", "storage", gram::name(plan.options.storage));
  file.attribute("/", "storage_bytes", plan.options.memory_bytes);
  file.attribute("/", "storage_block", plan.options.block);
}

gram::OperatorOptions read_storage(const dist::Hdf5File& file) {
  const auto text = file.text_attribute("/", "storage");
  const auto storage = [&] {
    try {
      return gram::parse_storage(text);
    } catch (const InputError&) {
      throw InputError("{}: the attribute 'storage' of / is \"{}\", no way to keep K", file.path(),
                       text);
    }
  }();
  return {.storage = storage,
          .memory_bytes = file.finite_attribute("/", "storage_bytes"),
          .block = file.count_attribute("/", "storage_block", 1, dist::kMostCount)};
}

Products::Products(const gram::Source& kernel, const dist::RowBlock<double>& X, Index nb,
                   const ProductPlan& plan, Session& session) {
  const auto& grid = session.grid();
  if (plan.stored) {
    matrix_.emplace(session.long_phase("assemble", [&](auto progress) {
      return gram::assemble<double>(kernel, X, grid, {.nb = nb, .progress = progress});
    }));
    operator_ = std::make_unique<gram::MatrixOperator<double>>(*matrix_, gives_up);
    return;
  }
  const auto make = [&](std::function<void(double)> progress) {
    auto options = plan.options;
    options.progress = std::move(progress);
    options.interrupted = gives_up;
    return std::make_unique<gram::KernelOperator>(kernel.kernel(), X, grid, options);
  };
  auto K = plan.cost.stored_share > 0
               ? session.long_phase("assemble", [&](auto progress) { return make(progress); })
               : make({});
  kernel_ = K.get();
  operator_ = std::move(K);
}

std::string Products::storage() const {
  return gram::name(kernel_ != nullptr ? kernel_->storage() : Storage::in_double);
}

double Products::stored_share() const {
  return kernel_ != nullptr ? kernel_->stored_share() : 1;
}

std::string Products::text() const {
  return kernel_ != nullptr ? kernel_->text() : "K of the file kept in double, both triangles";
}

}  // namespace mercer::drivers
