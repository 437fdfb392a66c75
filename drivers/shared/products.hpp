#pragma once

#include <boost/program_options.hpp>

#include <memory>
#include <optional>
#include <string>

#include "mercer/gram/kernel_operator.hpp"
#include "mercer/gram/source.hpp"
#include "shared/forecast.hpp"
#include "shared/session.hpp"

namespace mercer::drivers {

/// --storage: what an iterative solver keeps of K between its products.
struct StorageJob {
  void add(boost::program_options::options_description& group);
  /// Throws InputError: an unknown one, or one that a kernel from a file cannot have. Local.
  void settle(const gram::Source& kernel, bool single_precision);
  gram::Storage storage() const { return storage_; }
  bool chosen() const { return storage_ != gram::Storage::automatic; }

 private:
  std::string typed_ = "auto";
  gram::Storage storage_ = gram::Storage::automatic;
};

/// Bytes a rank that are left for the solver: of --memory-limit, or of four fifths of what this
/// machine has for each of its ranks, less what a process takes and the rows; negative where that
/// is more. Collective.
double room_for_solver(const Session& session, const forecast::Sizes& sizes);

/// Throws MemoryError unless there is some. Local.
void require_room(const Session& session, double room);

/// How products with K will be made: decided before anything is allocated. Local.
struct ProductPlan {
  gram::OperatorOptions options;  ///< storage: never automatic for a function
  forecast::Operator cost{};      ///< for the plan
  bool stored = false;            ///< K is a file's: assembled, a MatrixOperator
};
/// `room`: bytes a rank for the operator; products of `block` vectors. With single precision
/// `automatic` keeps K in single. Throws MemoryError as gram::plan_operator, with what the job
/// needs beside it.
ProductPlan plan_products(const gram::Source& kernel, const forecast::Sizes& sizes,
                          gram::Storage storage, double room, Index block, const Machine& machine);

/// Kept in checkpoints, so that a run that goes on keeps of K what it kept before, whatever memory
/// is free then. Collective.
void write_storage(dist::Hdf5File& file, const ProductPlan& plan);
gram::OperatorOptions read_storage(const dist::Hdf5File& file);

/// K by its products, as planned. Collective.
class Products {
 public:
  /// Borrows its arguments. Stores the tiles that are kept, or assembles a file's K, as the phase
  /// `assemble`.
  Products(const gram::Source& kernel, const dist::RowBlock<double>& X, Index nb,
           const ProductPlan& plan, Session& session);
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

}  // namespace mercer::drivers
