#include <algorithm>
#include <vector>

#include "blocks.hpp"
#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::dist {
namespace {

/// each(): the strictly lower blocks (I, J), block row I > block column J, J in [first, last), that
/// lie on process (p, q) and whose transposes belong to process (r, s): J mod Q = q and J mod P =
/// r, I mod P = p and I mod Q = s. Ascending: the same order on both sides of a message.
class LowerBlocks {
 public:
  LowerBlocks(const BlockCyclic1D& rows, const BlockCyclic1D& cols, Index first, Index last)
      : rows_(rows), cols_(cols), first_(first), last_(last), blocks_(ceil_div(rows.n, rows.nb)) {}

  template <class F>
  void each(int p, int q, int r, int s, F&& f) const {
    for (Index J = first_ + (q - first_ % cols_.nprocs + cols_.nprocs) % cols_.nprocs; J < last_;
         J += cols_.nprocs) {
      if (J % rows_.nprocs != r) continue;
      const Index below = J + 1;
      for (Index I = below + (p - below % rows_.nprocs + rows_.nprocs) % rows_.nprocs; I < blocks_;
           I += rows_.nprocs)
        if (I % cols_.nprocs == s) f(I, J);
    }
  }

 private:
  BlockCyclic1D rows_, cols_;
  Index first_, last_, blocks_;
};

template <class T>
class Mirror {
 public:
  explicit Mirror(DistMatrix<T>& A)
      : A_(A), grid_(A.grid()), n_(A.rows()), nb_(A.nb()), blocks_(ceil_div(n_, nb_)) {}

  void run() {
    const Index width = panel_blocks();
    for (Index first = 0; first < blocks_; first += width)
      panel(first, std::min(blocks_, first + width));
  }

 private:
  Index size(Index block) const { return std::min(nb_, n_ - block * nb_); }
  T* at(Index I, Index J) {
    return A_.data() + A_.row_map().local({I * nb_}).value +
           A_.col_map().local({J * nb_}).value * A_.ld();
  }

  /// Block columns of a panel, the same on all ranks: at least one, else as many as keep the
  /// buffers within kBufferBytes.
  Index panel_blocks() const {
    const Index P = grid_.rows(), Q = grid_.cols();
    const Index column = ceil_div(blocks_, P) * nb_ * nb_, row = ceil_div(blocks_, Q) * nb_ * nb_;
    Index width = std::max<Index>(blocks_, 1);
    while (width > 1 && (ceil_div(width, Q) * column + ceil_div(width, P) * row) *
                                static_cast<Index>(sizeof(T)) >
                            kBufferBytes)
      width = ceil_div(width, 2);
    return width;
  }

  void diagonal(Index J) {
    T* D = at(J, J);
    for (Index j = 0; j < size(J); ++j)
      for (Index i = j + 1; i < size(J); ++i) D[j + i * A_.ld()] = D[i + j * A_.ld()];
  }

  void panel(Index first, Index last) {
    const int P = grid_.rows(), Q = grid_.cols(), p = grid_.row(), q = grid_.col();
    const LowerBlocks lower(A_.row_map(), A_.col_map(), first, last);
    const auto ranks = static_cast<std::size_t>(grid_.all().size());
    std::vector<Index> counts(ranks, 0);
    if (grid_.active()) {
      for (Index J = first; J < last; ++J)
        if (J % P == p && J % Q == q) diagonal(J);
      lower.each(p, q, p, q, [&](Index I, Index J) {
        transpose_block(at(I, J), A_.ld(), at(J, I), A_.ld(), size(I), size(J));
      });
    }
    Index total = 0;
    for_partners([&](int r, int s) {
      Index& count = counts[static_cast<std::size_t>(grid_.rank_at(r, s))];
      lower.each(p, q, r, s, [&](Index I, Index J) { count += size(I) * size(J); });
      total += count;
    });
    if (static_cast<Index>(send_.size()) < total) send_.resize(static_cast<std::size_t>(total));
    T* next = send_.data();
    for_partners([&](int r, int s) {
      lower.each(p, q, r, s, [&](Index I, Index J) {
        transpose_block(at(I, J), A_.ld(), next, size(J), size(I), size(J));
        next += size(I) * size(J);
      });
    });
    const auto received =
        grid_.all().template all_to_all<T>({send_.data(), static_cast<std::size_t>(total)}, counts);
    const T* arrived = received.data();
    for_partners([&](int r, int s) {
      lower.each(r, s, p, q, [&](Index I, Index J) {
        copy_block(arrived, size(J), at(J, I), A_.ld(), size(J), size(I));
        arrived += size(I) * size(J);
      });
    });
  }

  /// f(process row, process column) of every other process, in rank order.
  template <class F>
  void for_partners(F&& f) const {
    if (!grid_.active()) return;
    for (int r = 0; r < grid_.rows(); ++r)
      for (int s = 0; s < grid_.cols(); ++s)
        if (r != grid_.row() || s != grid_.col()) f(r, s);
  }

  DistMatrix<T>& A_;
  const ProcessGrid& grid_;
  Index n_, nb_, blocks_;
  RawVector<T> send_;
};

}  // namespace

template <class T>
void mirror_lower(DistMatrix<T>& A) {
  if (A.rows() != A.cols())
    throw RunError("mirror_lower: the matrix is {} x {}, not square", A.rows(), A.cols());
  Mirror<T>(A).run();
}

template void mirror_lower<double>(DistMatrix<double>&);
template void mirror_lower<float>(DistMatrix<float>&);

}  // namespace mercer::dist
