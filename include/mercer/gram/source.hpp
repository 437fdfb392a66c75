#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mercer/gram/assemble.hpp"

namespace mercer::gram {

/// A set of rows of the job that uses a kernel: by its hash (data::Dataset::hash), that of the
/// prepared inputs in their order.
struct RowIdentity {
  std::string name;  ///< for errors: "the training rows (npy:X.npy)"
  std::uint64_t hash = 0;
  Index rows = 0;
};

/// Where a kernel matrix comes from: a function of two inputs, or a file in the layout that
/// mercer-kernel writes (/kernel, values k(x_i, x_j), not divided by n; at the root the attributes
/// data_hash, of the rows, data2_hash, of the columns where they are another set, and kernel, what
/// the entries are).
class Source {
 public:
  static Source function(std::shared_ptr<const kernel::Kernel> kernel);
  /// "K.h5" or "K.h5,CROSS.h5": k(train, train) and k(test, train). Reads nothing yet.
  static Source stored(const std::string& paths);

  bool is_stored() const { return kernel_ == nullptr; }
  const kernel::Kernel& kernel() const { return *kernel_; }  ///< of a function
  /// Canonical text: the kernel's own, or "file:K.h5".
  const std::string& text() const { return text_; }
  const std::string& matrix_path() const { return matrix_; }
  const std::string& cross_path() const { return cross_; }

  /// n of a stored matrix. Collective. Throws InputError: missing, no /kernel, not square, n = 0.
  Index stored_size(const comm::Communicator& comm) const;

  /// Of a stored kernel: that K.h5 is k of the rows `train`. Returns what is to be said of a file
  /// that does not tell its rows (no data_hash, written elsewhere), one line each; nothing for a
  /// function. Throws InputError that names file and hashes: other rows, another order or another
  /// preparation; another size. Collective.
  std::vector<std::string> verify(const comm::Communicator& comm, const RowIdentity& train) const;
  /// The same for CROSS.h5 = k(test, train), or its transpose where the hashes say so, and that it
  /// is of the same kernel as K.h5 where both files are there and tell. Also throws where there is
  /// no CROSS.h5. Beside the lines of verify(); call it before apply_cross().
  std::vector<std::string> verify_cross(const comm::Communicator& comm, const RowIdentity& test,
                                        const RowIdentity& train);

 private:
  std::shared_ptr<const kernel::Kernel> kernel_;
  std::string text_, matrix_, cross_;
  bool transposed_ = false;  ///< CROSS.h5 is k(train, test)

  friend RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                                      const RowBlock<double>& X, const RowBlock<double>& A,
                                      const Options& options);
};

/// As the functions of the same names for a kernel::Kernel. A stored matrix must be X.rows()
/// square, finite and symmetric to the rounding of its type (1e-10 of its largest entry for
/// float64, 1e-6 for float32; InputError otherwise); it is made symmetric to the bit. Whose rows it
/// is: Source::verify(). Collective.
template <class T>
DistMatrix<T> assemble(const Source& source, const RowBlock<double>& X, const ProcessGrid& grid,
                       const Options& options = {});
/// F = (1/n) k(Z, X) A; a stored kernel reads its cross matrix (Z.rows() x n) in panels of rows.
RowBlock<double> apply_cross(const Source& source, const RowBlock<double>& Z,
                             const RowBlock<double>& X, const RowBlock<double>& A,
                             const Options& options = {});
/// The same for Z = X: K A with K's entries evaluated (or read) again, for checks.
RowBlock<double> apply(const Source& source, const RowBlock<double>& X, const RowBlock<double>& A,
                       const Options& options = {});

}  // namespace mercer::gram
