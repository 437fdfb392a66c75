#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "mercer/gram/cost.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/jobs/monitor.hpp"

namespace mercer::jobs {

/// Throws InputError where K cannot be kept so: of a matrix from a file other than in double, in
/// double where the job is in single precision. Local.
void check_storage(gram::Storage storage, const gram::Source& kernel, bool single);

/// Throws InputError where entries k(x_i, x_i) of these rows underflow; warns where the quadrature
/// of an activation (tanh, softplus, sigmoid) is off by more than 1e-8 at their variances. Jobs
/// call it before they begin. Collective.
void check_range(const kernel::Kernel& kernel, const dist::RowBlock<double>& X, Monitor& monitor);
/// The same, where the kernel is a function.
void check_range(const gram::Source& kernel, const dist::RowBlock<double>& X, Monitor& monitor);

/// How matrix-vector products with K will be made: decided before anything is allocated. Local.
struct ProductPlan {
  gram::OperatorOptions options;  ///< storage: never automatic for a function
  gram::OperatorCost cost{};
  bool stored = false;  ///< K is a file's: assembled, a MatrixOperator
};
/// `room`: bytes a rank for the operator; products of `block` vectors. With single precision
/// `automatic` keeps K in single. Throws MemoryError as gram::plan_operator, with what the job
/// needs beside it.
ProductPlan plan_products(const gram::Source& kernel, const gram::Sizes& sizes,
                          gram::Storage storage, double room, Index block);

/// Kept in checkpoints, so that a run that goes on keeps of K what it kept before, whatever memory
/// is free then. Collective.
void write_storage(io::Hdf5File& file, const ProductPlan& plan);
gram::OperatorOptions read_storage(const io::Hdf5File& file);
/// How K is kept in the run that goes on from `file`: as asked for, or as it was; on the same
/// number of ranks in the same memory as then, which gives the same bits, on another one in `room`
/// bytes a rank: where K does not fit there, less of it is kept. Throws MemoryError. Collective.
ProductPlan resumed_products(const io::Hdf5File& file, gram::Storage storage,
                             const gram::Source& kernel, const gram::Sizes& sizes, double room);
/// Whether the run that wrote `file` had the entries of K to the same rounding, so that products
/// with K that it has kept are those of this run; else only its vectors are of use. Collective.
bool same_entries(const io::Hdf5File& file, const gram::Source& kernel, const ProductPlan& plan,
                  int ranks);

/// K by its matrix-vector products, as planned. Collective.
class Products {
 public:
  /// Borrows its arguments. Stores the tiles that are kept, or assembles a file's K, as the phase
  /// `assemble`. `interrupted`: asked between the tiles of a product, which is given up where it is
  /// true (gram::OperatorOptions); Checkpoints::interruption() for a solver that keeps its state.
  Products(const gram::Source& kernel, const dist::RowBlock<double>& X,
           const dist::ProcessGrid& grid, Index nb, const ProductPlan& plan, Monitor& monitor,
           const std::function<bool()>& interrupted = {});
  const gram::Operator& K() const { return *operator_; }
  std::string storage() const;
  double stored_share() const;
  /// One line for the log.
  std::string text() const;

 private:
  std::optional<dist::DistMatrix<double>> matrix_;  ///< a file's
  std::unique_ptr<gram::Operator> operator_;
  const gram::KernelOperator* kernel_ = nullptr;
};

}  // namespace mercer::jobs
