#include "mercer/jobs/products.hpp"

#include <algorithm>

#include "mercer/base/error.hpp"
#include "mercer/base/memory.hpp"
#include "mercer/gram/assemble.hpp"

namespace mercer::jobs {

using gram::Storage;

void check_storage(Storage storage, const gram::Source& kernel, bool single) {
  const bool chosen = storage != Storage::automatic;
  if (kernel.is_stored() && chosen && storage != Storage::in_double)
    throw InputError("`storage` {}: the matrix of {} is always kept in double", gram::name(storage),
                     kernel.text());
  if (single && storage == Storage::in_double)
    throw InputError("`storage` double: contradicts `single`");
}

void check_range(const kernel::Kernel& kernel, const dist::RowBlock<double>& X, Monitor& monitor) {
  const Monitor::Phase scope(monitor, "prepare");
  const double error = gram::require_normal(kernel, X);
  if (!(error < 1))
    throw InputError(
        "the kernel's entries would be meaningless, with errors of up to about {:.1e} sqrt(k(x, x) "
        "k(z, z)), {}",
        error, kernel.error_source());
  if (!(error <= 1e-8))
    monitor.warn(fmt::format(
        "the kernel's entries have errors of up to about {:.1e} sqrt(k(x, x) k(z, z)), {}", error,
        kernel.error_source()));
}

void check_range(const gram::Source& kernel, const dist::RowBlock<double>& X, Monitor& monitor) {
  if (!kernel.is_stored()) check_range(kernel.kernel(), X, monitor);
}

void check_images(const arch::Image& image, const data::Dataset& rows, const std::string& whose) {
  if (image.given()) data::expect_image(rows, {image.height, image.width, image.channels}, whose);
}

void check_images(const gram::Source& kernel, const data::Dataset& rows) {
  if (!kernel.is_stored()) check_images(kernel.kernel().image(), rows, "the kernel takes");
}

ProductPlan plan_products(const gram::Source& kernel, const gram::Sizes& sizes, Storage storage,
                          double room, Index block) {
  if (kernel.is_stored())
    return {.options = {.storage = Storage::in_double, .block = block},
            .cost = gram::matrix_operator_cost(sizes, block),
            .stored = true};
  if (!(room > 0))
    throw MemoryError(
        "the solver's vectors, the rows and the process itself take {} a rank more than the limit "
        "leaves, products with K apart: give a larger limit or more ranks",
        format_bytes(-room));
  ProductPlan plan;
  plan.options = {.storage = storage, .memory_bytes = room, .block = block};
  const auto planned = [&] {
    return gram::plan_operator(kernel.kernel(), sizes.n, sizes.d, block, sizes.shape, plan.options);
  };
  try {
    if (sizes.single && storage == Storage::automatic) {
      plan.options.storage = Storage::mixed;
      if (planned().stored_share == 1) plan.options.storage = Storage::in_single;
    } else {
      plan.options.storage = planned().storage;
    }
    plan.cost = gram::operator_cost(sizes, plan.options, block);
  } catch (const MemoryError& error) {
    throw MemoryError("{}; the limit is what the solver, the rows and the process itself leave",
                      error.what());
  }
  return plan;
}

void write_storage(io::Hdf5File& file, const ProductPlan& plan) {
  file.attribute("/", "kept_storage", gram::name(plan.options.storage));
  file.attribute("/", "storage_bytes", plan.options.memory_bytes);
  file.attribute("/", "storage_block", plan.options.block);
}

gram::OperatorOptions read_storage(const io::Hdf5File& file) {
  const auto text = file.text_attribute("/", "kept_storage");
  const auto storage = [&] {
    try {
      return gram::parse_storage(text);
    } catch (const InputError&) {
      throw InputError("{}: the attribute 'kept_storage' of / is \"{}\", which is no storage of K",
                       file.path(), text);
    }
  }();
  return {.storage = storage,
          .memory_bytes = file.finite_attribute("/", "storage_bytes"),
          .block = file.count_attribute("/", "storage_block", 1, io::kMostCount)};
}

namespace {

bool on_as_many(const io::Hdf5File& file, int ranks) {
  return file.has_attribute("/", "ranks") &&
         file.text_attribute("/", "ranks") == fmt::format("{}", ranks);
}

/// Every entry is in double, stored or computed again.
bool is_exact(Storage storage) {
  return storage == Storage::in_double || storage == Storage::none;
}

}  // namespace

ProductPlan resumed_products(const io::Hdf5File& file, Storage storage, const gram::Source& kernel,
                             const gram::Sizes& sizes, double room) {
  const auto kept = read_storage(file);
  const auto planned = [&](Storage kind, double bytes) {
    return plan_products(kernel, sizes, kind, bytes, kept.block);
  };
  const bool chosen = storage != Storage::automatic;
  const bool same = !chosen || storage == kept.storage;
  if (same && on_as_many(file, sizes.rank_count())) return planned(kept.storage, kept.memory_bytes);
  if (chosen) return planned(storage, room);
  try {
    return planned(kept.storage, room);
  } catch (const MemoryError&) {
    return planned(is_exact(kept.storage) ? Storage::none : Storage::mixed, room);
  }
}

bool same_entries(const io::Hdf5File& file, const gram::Source& kernel, const ProductPlan& plan,
                  int ranks) {
  const auto kept = read_storage(file);
  const Storage now = plan.options.storage;
  if (kernel.is_stored() || (is_exact(kept.storage) && is_exact(now))) return true;
  if (kept.storage != now) return false;
  // `mixed` rounds the tiles that it stores: as many as the memory allows.
  return now == Storage::in_single ||
         (on_as_many(file, ranks) && kept.memory_bytes == plan.options.memory_bytes);
}

Products::Products(const gram::Source& kernel, const dist::RowBlock<double>& X,
                   const dist::ProcessGrid& grid, Index nb, const ProductPlan& plan,
                   Monitor& monitor, const std::function<bool()>& interrupted) {
  if (plan.stored) {
    matrix_.emplace(monitor.phase("assemble", [&] {
      return gram::assemble<double>(kernel, X, grid, {.nb = nb, .progress = monitor.shares()});
    }));
    operator_ = std::make_unique<gram::MatrixOperator<double>>(*matrix_, interrupted);
    return;
  }
  auto options = plan.options;
  options.interrupted = interrupted;
  const auto make = [&] {
    return std::make_unique<gram::KernelOperator>(kernel.kernel(), X, grid, options);
  };
  std::unique_ptr<gram::KernelOperator> K;
  if (plan.cost.stored_share > 0) {
    options.progress = monitor.shares();
    K = monitor.phase("assemble", make);
  } else {
    K = make();
  }
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

}  // namespace mercer::jobs
