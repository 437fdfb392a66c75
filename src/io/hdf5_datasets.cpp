#include <algorithm>
#include <cmath>

#include "hdf5_state.hpp"
#include "mercer/base/error.hpp"
#include "mercer/dist/redistribute.hpp"

namespace mercer::io {
namespace {

constexpr Index kSlabBytes = Index{1} << 28;    // one hyperslab of a row block, which is not staged
constexpr Index kPanelBytes = Index{24} << 20;  // a rank's part of a panel that is staged
constexpr Index kChunkBytes = Index{1} << 20;
constexpr Index kMostElements = Index{1} << 59;  // of a dataset

template <class T>
hid_t native() {
  if (std::is_same_v<T, Index>) return H5T_NATIVE_INT64;
  return std::is_same_v<T, double> ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
}

/// Selects rows [first, first + count) of a dataset, with all of their elements, row-major; with
/// `layer` those of one index of the first dimension, rows being the second.
Handle select_rows(hid_t dataset, Index first, Index count, Index layer = -1) {
  const hid_t space = H5Dget_space(dataset);
  hsize_t extents[H5S_MAX_RANK] = {}, start[H5S_MAX_RANK] = {};
  H5Sget_simple_extent_dims(space, extents, nullptr);
  if (layer >= 0) start[0] = static_cast<hsize_t>(layer), extents[0] = 1;
  start[layer >= 0] = static_cast<hsize_t>(first);
  extents[layer >= 0] = static_cast<hsize_t>(count);
  if (count == 0)
    H5Sselect_none(space);
  else
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, extents, nullptr);
  return Handle(space, H5Sclose);
}

/// A flat memory space for what select_rows() selects.
Handle memory_space(hid_t selection) {
  const auto count = static_cast<hsize_t>(H5Sget_select_npoints(selection));
  const hsize_t extent = std::max<hsize_t>(count, 1);
  const hid_t space = H5Screate_simple(1, &extent, nullptr);
  if (count == 0) H5Sselect_none(space);
  return Handle(space, H5Sclose);
}

/// A dataset that is being written.
class Writer {
 public:
  /// Creates the dataset, in chunks of whole rows, about 1 MiB each. `layers`: rows are the second
  /// dimension. Collective.
  Writer(const Hdf5File& file, const comm::Communicator& comm, hid_t id, std::string name,
         hid_t type, std::vector<Index> extents, bool layers = false)
      : path_(file.path()),
        comm_(comm),
        name_(std::move(name)),
        type_(type),
        empty_(std::find(extents.begin(), extents.end(), 0) != extents.end()),
        dataset_(create(id, extents, layers), H5Dclose),
        transfer_(H5Pcreate(H5P_DATASET_XFER), H5Pclose) {
    H5Pset_dxpl_mpio(transfer_, H5FD_MPIO_COLLECTIVE);
    agree(dataset_.ok());
  }
  /// Writes rows [first, first + count), of one layer where there are some; every rank its own,
  /// which may be none. Collective.
  void rows(Index first, Index count, const void* values, Index layer = -1) const {
    if (empty_) return;  // nothing was allocated in the file
    const Handle selection = select_rows(dataset_, first, count, layer);
    const Handle memory = memory_space(selection);
    agree(H5Dwrite(dataset_, type_, memory, selection, transfer_, values) >= 0);
  }

 private:
  void agree(bool ok) const {
    comm::together(comm_, [&] {
      if (!ok) throw RunError("{}: cannot write the dataset '{}'", path_, name_);
    });
  }
  hid_t create(hid_t file, const std::vector<Index>& extents, bool layers) const {
    std::vector<hsize_t> sizes(extents.begin(), extents.end()), chunk = sizes;
    hsize_t row = H5Tget_size(type_);
    const std::size_t rows = layers ? 1 : 0;
    for (std::size_t d = rows + 1; d < sizes.size(); ++d) row *= sizes[d];
    const Handle space(H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                       H5Sclose);
    const Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    if (!empty_) {  // HDF5 does not take chunks of no elements
      chunk[0] = 1;
      chunk[rows] = std::clamp<hsize_t>(static_cast<hsize_t>(kChunkBytes) / row, 1, sizes[rows]);
      while (chunk.back() * H5Tget_size(type_) > static_cast<hsize_t>(kSlabBytes))
        chunk.back() = (chunk.back() + 1) / 2;
      H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data());
    }
    H5Pset_fill_time(layout, H5D_FILL_TIME_NEVER);
    const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(links, 1);
    return H5Dcreate2(file, name_.c_str(), type_, space, links, layout, H5P_DEFAULT);
  }

  std::string path_;
  comm::Communicator comm_;
  std::string name_;
  hid_t type_;
  bool empty_;
  Handle dataset_;
  Handle transfer_;
};

Index product(const std::vector<Index>& extents, std::size_t from) {
  Index result = 1;
  for (std::size_t d = from; d < extents.size(); ++d) result *= extents[d];
  return result;
}

/// Throws InputError for more than 2^59 elements: products of the extents, and their bytes, do not
/// overflow from here on. Local.
std::vector<Index> extents_of(hid_t dataset, const std::string& path, const std::string& name) {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  hsize_t sizes[H5S_MAX_RANK] = {};
  const int rank = std::max(0, H5Sget_simple_extent_dims(space, sizes, nullptr));
  const std::vector<hsize_t> extents(sizes, sizes + rank);
  Index elements = 1;
  for (const hsize_t extent : extents) {
    const bool large = extent > static_cast<hsize_t>(kMostElements);
    const auto size = std::max<Index>(1, large ? kMostElements : static_cast<Index>(extent));
    if (large || elements > kMostElements / size)
      throw InputError("{}: the dataset '{}' claims {} numbers, more than a file can hold", path,
                       name, fmt::join(extents, " x "));
    elements *= size;
  }
  return {extents.begin(), extents.end()};
}

bool exists(hid_t file, const std::string& dataset) {
  // H5Lexists fails, instead of returning 0, where a group on the way is missing.
  for (std::size_t at = dataset.find('/', 1);; at = dataset.find('/', at + 1)) {
    const std::string part = dataset.substr(0, at);
    if (part.empty() || H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0) return false;
    if (at == std::string::npos) return true;
  }
}

/// The name of the file that holds an object. Local.
std::string file_of(hid_t object) {
  const auto length = H5Fget_name(object, nullptr, 0);
  std::string name(static_cast<std::size_t>(std::max<ssize_t>(0, length)), '\0');
  H5Fget_name(object, name.data(), name.size() + 1);
  return name;
}

/// Whether the file itself holds the dataset: its checksum covers no other file. Local.
bool in_file(hid_t file, hid_t dataset) {
  const Handle layout(H5Dget_create_plist(dataset), H5Pclose);
  return file_of(file) == file_of(dataset) && H5Pget_layout(layout) != H5D_VIRTUAL &&
         H5Pget_external_count(layout) == 0;
}

/// Throws InputError unless the verified file itself holds all numbers of the dataset, as files of
/// Mercer do. Local.
void expect_stored(hid_t file, hid_t dataset, const std::string& path, const std::string& name) {
  if (!in_file(file, dataset))
    throw InputError("{}: the dataset '{}' lies in another file, but Mercer writes all into one",
                     path, name);
  const Index elements = product(extents_of(dataset, path, name), 0);
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const double claimed = static_cast<double>(elements) * static_cast<double>(H5Tget_size(type));
  const auto stored = static_cast<double>(H5Dget_storage_size(dataset));
  if (stored < claimed)
    throw InputError("{}: the dataset '{}' claims {:.0f} bytes, but holds {:.0f}", path, name,
                     claimed, stored);
}

}  // namespace

Handle Hdf5File::State::open_numeric(const std::string& name) const {
  const auto guard = watchdog();
  if (!exists(file, name)) throw InputError("{}: has no dataset '{}'", path, name);
  Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.ok()) throw InputError("{}: '{}' is not a dataset", path, name);
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const H5T_class_t kind = H5Tget_class(type);
  const Handle space(H5Dget_space(dataset), H5Sclose);
  if ((kind != H5T_FLOAT && kind != H5T_INTEGER) || H5Sget_simple_extent_ndims(space) < 1)
    throw InputError("{}: the dataset '{}' does not hold an array of numbers", path, name);
  if (verified) expect_stored(file, dataset, path, name);
  return dataset;
}

namespace {

/// Seconds of processor time that reading one slab may take: 10, and what it takes to decompress
/// the whole dataset at 50 MB/s, because each chunk may hold rows of the slab.
double patience(const std::vector<Index>& extents) {
  const double bytes = 8.0 * static_cast<double>(product(extents, 0));
  return std::min(10 + bytes / 5e7, 600.0);
}

}  // namespace

template <class T>
void Hdf5File::State::read_slabs(const std::string& name, Index first, Index count, Index row_size,
                                 T* values) const {
  const Handle dataset = open_numeric(name);
  const double seconds = verified ? 0 : patience(extents_of(dataset, path, name));
  const Index step =
      std::max<Index>(1, kSlabBytes / std::max<Index>(1, row_size * static_cast<Index>(sizeof(T))));
  for (Index done = 0; done < count && row_size > 0; done += step) {
    const Index rows = std::min(step, count - done);
    const Handle selection = select_rows(dataset, first + done, rows);
    const Handle memory = memory_space(selection);
    const auto guard = watchdog(seconds);
    if (H5Dread(dataset, native<T>(), memory, selection, H5P_DEFAULT, values + done * row_size) < 0)
      throw InputError("{}: the dataset '{}' cannot be read: the file is damaged", path, name);
  }
}

bool Hdf5File::contains(const std::string& dataset) const {
  const Quiet quiet;
  int found = 0;
  if (state_->comm.root()) {
    const auto guard = state_->watchdog();
    found = exists(state_->file, dataset);
  }
  state_->comm.broadcast(std::span<int>(&found, 1), 0);
  return found != 0;
}

std::vector<Index> Hdf5File::extents(const std::string& dataset) const {
  const Quiet quiet;
  auto result = comm::together(state_->comm, [&]() -> std::vector<Index> {
    if (!state_->comm.root()) return {};
    return extents_of(state_->open_numeric(dataset), path(), dataset);
  });
  return state_->comm.all_gather(std::span<const Index>(result));
}

double Hdf5File::rounding(const std::string& dataset) const {
  const Quiet quiet;
  double result = comm::together(state_->comm, [&] {
    if (!state_->comm.root()) return 0.0;
    const Handle type(H5Dget_type(state_->open_numeric(dataset)), H5Tclose);
    if (H5Tget_class(type) != H5T_FLOAT) return 0.0;
    std::size_t sign = 0, exponent = 0, exponent_bits = 0, mantissa = 0, mantissa_bits = 0;
    H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits);
    return std::ldexp(0.5, -static_cast<int>(mantissa_bits));
  });
  state_->comm.broadcast(std::span<double>(&result, 1), 0);
  return result;
}

void Hdf5File::write(const std::string& dataset, std::span<const double> values) {
  const Quiet quiet;
  const auto n = static_cast<Index>(values.size());
  state_->require_writing();
  state_->reserve(n * static_cast<Index>(sizeof(double)));
  const Writer writer(*this, state_->comm, state_->file, dataset, H5T_NATIVE_DOUBLE, {n});
  writer.rows(0, state_->comm.root() ? n : 0, values.data());
}

std::vector<double> Hdf5File::read_vector(const std::string& dataset) const {
  const Quiet quiet;
  const auto sizes = extents(dataset);
  auto values = comm::together(state_->comm, [&]() -> std::vector<double> {
    std::vector<double> result(static_cast<std::size_t>(product(sizes, 0)));
    if (state_->comm.root())
      state_->read_slabs(dataset, 0, sizes[0], product(sizes, 1), result.data());
    return result;
  });
  state_->comm.broadcast(std::span<double>(values), 0);
  return values;
}

void Hdf5File::write(const std::string& dataset, std::span<const std::string> texts) {
  const Quiet quiet;
  state_->require_writing();
  std::size_t length = 1;
  for (const auto& text : texts) length = std::max(length, text.size());
  std::string padded(length * texts.size(), '\0');
  for (std::size_t i = 0; i < texts.size(); ++i) texts[i].copy(&padded[i * length], length);
  const Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, length);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  const auto n = static_cast<Index>(texts.size());
  state_->reserve(static_cast<Index>(padded.size()));
  const Writer writer(*this, state_->comm, state_->file, dataset, type, {n});
  writer.rows(0, state_->comm.root() ? n : 0, padded.data());
}

void Hdf5File::write(const std::string& dataset, Index n, std::span<const Index> own) {
  const Quiet quiet;
  state_->require_writing();
  const dist::RowPartition partition{n, state_->comm.size()};
  const int me = state_->comm.rank();
  comm::together(state_->comm, [&] {
    if (static_cast<Index>(own.size()) != partition.size(me))
      throw RunError("{}: '{}': rank {} passes {} values, but its part of {} is {}", path(),
                     dataset, me, own.size(), n, partition.size(me));
  });
  state_->reserve(n * static_cast<Index>(sizeof(Index)));
  const Writer writer(*this, state_->comm, state_->file, dataset, native<Index>(), {n});
  const Index step = kSlabBytes / static_cast<Index>(sizeof(Index));
  for (Index done = 0; done < partition.size(0); done += step) {
    const Index count = std::clamp<Index>(partition.size(me) - done, 0, step);
    writer.rows(partition.begin(me) + done, count, own.data() + done);
  }
}

template <class T>
void Hdf5File::write(const std::string& dataset, const dist::RowBlock<T>& rows) {
  write<T>(dataset, rows.rows(), rows.transposed());
}

template <class T>
void Hdf5File::write(const std::string& dataset, Index n, MatrixView<const T> own,
                     std::span<const Index> row) {
  const Quiet quiet;
  state_->require_writing();
  const dist::RowPartition partition{n, state_->comm.size()};
  const int me = state_->comm.rank();
  comm::together(state_->comm, [&] {
    if (own.cols != partition.size(me) || (own.cols > 1 && own.ld != own.rows))
      throw RunError("{}: '{}': rank {} passes {} rows, but its part of {} is {}, contiguous",
                     path(), dataset, me, own.cols, n, partition.size(me));
  });
  state_->reserve(n * own.rows * static_cast<Index>(sizeof(T)));
  std::vector<Index> extents{n};
  if (row.empty())
    extents.push_back(own.rows);
  else
    extents.insert(extents.end(), row.begin(), row.end());
  const Writer writer(*this, state_->comm, state_->file, dataset, native<T>(), extents);
  const Index row_bytes = std::max<Index>(1, own.rows * static_cast<Index>(sizeof(T)));
  const Index step = std::max<Index>(1, kSlabBytes / row_bytes);
  // Rank 0 has the most rows: every rank takes part in as many collective writes.
  for (Index done = 0; done < partition.size(0); done += step) {
    const Index count = std::clamp<Index>(own.cols - done, 0, step);
    writer.rows(partition.begin(me) + done, count, own.data + done * own.rows);
  }
}

void Hdf5File::write_stack(const std::string& dataset,
                           std::span<const dist::RowBlock<double>> blocks) {
  const Quiet quiet;
  state_->require_writing();
  const auto& one = blocks.front();
  comm::together(state_->comm, [&] {
    for (const auto& block : blocks)
      if (block.rows() != one.rows() || block.cols() != one.cols())
        throw RunError("{}: '{}': blocks of {} x {} and of {} x {}", path(), dataset, one.rows(),
                       one.cols(), block.rows(), block.cols());
  });
  const Index count = std::ssize(blocks);
  state_->reserve(count * one.rows() * one.cols() * static_cast<Index>(sizeof(double)));
  const Writer writer(*this, state_->comm, state_->file, dataset, H5T_NATIVE_DOUBLE,
                      {count, one.rows(), one.cols()}, true);
  const Index row_bytes = std::max<Index>(1, one.cols() * static_cast<Index>(sizeof(double)));
  const Index step = std::max<Index>(1, kSlabBytes / row_bytes);
  const Index most = dist::RowPartition{one.rows(), state_->comm.size()}.size(0);
  for (Index layer = 0; layer < count; ++layer) {
    const auto own = blocks[static_cast<std::size_t>(layer)].transposed();
    for (Index done = 0; done < most; done += step)
      writer.rows(one.first_row() + done, std::clamp<Index>(own.cols - done, 0, step),
                  own.data + done * own.rows, layer);
  }
}

template <class T>
void Hdf5File::write(const std::string& dataset, const dist::DistMatrix<T>& A) {
  const Quiet quiet;
  state_->require_writing();
  state_->reserve(A.rows() * A.cols() * static_cast<Index>(sizeof(T)));
  const Writer writer(*this, state_->comm, state_->file, dataset, native<T>(),
                      {A.rows(), A.cols()});
  const Index row_bytes = std::max<Index>(1, A.cols() * static_cast<Index>(sizeof(T)));
  const Index step = state_->comm.size() * std::max<Index>(1, kPanelBytes / row_bytes);
  for (Index first = 0; first < A.rows(); first += step) {
    dist::RowBlock<T> panel(state_->comm, std::min(step, A.rows() - first), A.cols());
    dist::copy_rows(A, first, panel);
    writer.rows(first + panel.first_row(), panel.local_rows(), panel.values().data());
  }
}

template <class T>
void Hdf5File::read(const std::string& dataset, dist::DistMatrix<T>& A) const {
  const Quiet quiet;
  const auto sizes = extents(dataset);
  if (sizes[0] != A.rows() || product(sizes, 1) != A.cols())
    throw InputError("{}: the dataset '{}' is {} x {}, {} x {} is wanted", path(), dataset,
                     sizes[0], product(sizes, 1), A.rows(), A.cols());
  const Index row_bytes = std::max<Index>(1, A.cols() * static_cast<Index>(sizeof(T)));
  const Index step = state_->comm.size() * std::max<Index>(1, kPanelBytes / row_bytes);
  for (Index first = 0; first < A.rows(); first += step) {
    dist::RowBlock<T> panel(state_->comm, std::min(step, A.rows() - first), A.cols());
    comm::together(state_->comm, [&] {
      state_->read_slabs(dataset, first + panel.first_row(), panel.local_rows(), panel.cols(),
                         panel.values().data());
    });
    dist::copy_rows(panel, first, A);
  }
}

template <class T>
dist::RowBlock<T> Hdf5File::read_rows(const std::string& dataset, Index rows, Index cols) const {
  const Quiet quiet;
  const auto sizes = extents(dataset);
  if (sizes[0] != rows || product(sizes, 1) != cols)
    throw InputError("{}: the dataset '{}' is {}, {} x {} is wanted", path(), dataset,
                     fmt::join(sizes, " x "), rows, cols);
  auto block = read_rows<T>(dataset);
  require_finite<T>(*this, dataset, block.values());
  return block;
}

template <class T>
dist::RowBlock<T> Hdf5File::read_rows(const std::string& dataset) const {
  const Quiet quiet;
  const auto sizes = extents(dataset);
  return comm::together(state_->comm, [&] {
    dist::RowBlock<T> rows(state_->comm, sizes[0], product(sizes, 1));
    state_->read_slabs(dataset, rows.first_row(), rows.local_rows(), rows.cols(),
                       rows.values().data());
    return rows;
  });
}

#define MERCER_INSTANTIATE(T)                                                       \
  template void Hdf5File::write<T>(const std::string&, const dist::DistMatrix<T>&); \
  template void Hdf5File::write<T>(const std::string&, const dist::RowBlock<T>&);   \
  template void Hdf5File::write<T>(const std::string&, Index, MatrixView<const T>,  \
                                   std::span<const Index>);                         \
  template void Hdf5File::read<T>(const std::string&, dist::DistMatrix<T>&) const;  \
  template dist::RowBlock<T> Hdf5File::read_rows<T>(const std::string&) const;      \
  template dist::RowBlock<T> Hdf5File::read_rows<T>(const std::string&, Index, Index) const;
MERCER_INSTANTIATE(double)
MERCER_INSTANTIATE(float)
#undef MERCER_INSTANTIATE
template void Hdf5File::write<Index>(const std::string&, const dist::RowBlock<Index>&);
template void Hdf5File::write<Index>(const std::string&, Index, MatrixView<const Index>,
                                     std::span<const Index>);

}  // namespace mercer::io
