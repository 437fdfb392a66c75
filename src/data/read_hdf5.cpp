// HDF5 sets, which are read collectively: every rank reads its share, then gets the rows it needs.
#include <algorithm>
#include <cmath>
#include <fstream>

#include "byte_stream.hpp"
#include "classes.hpp"
#include "mercer/base/file.hpp"
#include "mercer/comm/together.hpp"
#include "mercer/dist/redistribute.hpp"
#include "mercer/io/hdf5.hpp"
#include "roles.hpp"

namespace mercer::data {
namespace {

using dist::RowBlock;

std::size_t at(Index i) {
  return static_cast<std::size_t>(i);
}

/// The rows of `all` that `roles` gives to `part`, over the ranks. Collective.
RowBlock<double> choose(const RowBlock<double>& all, const Roles& roles, std::size_t part,
                        const comm::Communicator& comm) {
  RowBlock<double> chosen =
      comm::together(comm, [&] { return RowBlock<double>(comm, roles.sizes[part], all.cols()); });
  const auto wanted = file_rows(roles, part, chosen.partition(), comm.rank());
  if (all.cols() == 0) return chosen;
  const auto rows = dist::fetch_rows(all, std::span<const Index>(wanted));
  std::copy_n(rows.data(), rows.size(), chosen.values().begin());
  return chosen;
}

/// Throws InputError for an infinity, and for a NaN unless `nan`. Collective.
void expect_finite(const RowBlock<double>& rows, const std::string& path,
                   const std::string& dataset, bool nan) {
  const auto good = [&](double x) { return std::isfinite(x) || (nan && std::isnan(x)); };
  const auto values = rows.values();
  const auto wrong = static_cast<Index>(values.size()) -
                     static_cast<Index>(std::count_if(values.begin(), values.end(), good));
  const Index all = rows.comm().all_reduce(wrong, comm::Op::sum);
  comm::together(rows.comm(), [&] {
    for (Index i = 0; wrong > 0 && i < rows.local_rows(); ++i)
      for (Index j = 0; j < rows.cols(); ++j)
        if (!good(rows.row(i)[at(j)]))
          throw InputError("{}:{}: row {}, column {} (counted from 1): {} is not a finite number{}",
                           path, dataset, rows.first_row() + i + 1, j + 1, rows.row(i)[at(j)],
                           all > 1 ? fmt::format(", one of {} in this dataset", all) : "");
  });
}

/// Targets that are texts, as numbers n x 1 by rows; n x 0 where they are left out. Collective;
/// memory: 8 bytes a row on every rank.
RowBlock<double> read_labels(const io::Hdf5File& file, const Spec& spec, const Request& request,
                             Index rows, Contents& contents, const comm::Communicator& comm) {
  const std::string name = spec.path + ":" + spec.targets;
  contents.outputs = request.text == Request::Text::left_out ? 0 : 1;
  if (contents.outputs == 0) {
    contents.notes.push_back("the targets are names and are left out");
    return comm::together(comm, [&] { return RowBlock<double>(comm, rows, 0); });
  }
  if (request.text == Request::Text::refused)
    throw InputError("{}: holds names{}", name,
                     request.training == nullptr ? ": `one_hot` makes names classes" : "");
  const auto column = file.read_texts(spec.targets);
  LabelTexts texts;
  auto codes = comm::together(comm, [&] {
    if (!comm.root()) return std::vector<double>(at(rows));
    if (static_cast<Index>(column.size()) != rows)
      throw InputError("{}:{} has {} rows, {} has {} labels: one is needed for each", spec.path,
                       spec.dataset, rows, spec.targets, column.size());
    return coded(column, texts, name);
  });
  comm.broadcast(std::span<double>(codes), 0);
  contents.label_names = texts.names();
  broadcast(contents.label_names, comm);
  return comm::together(comm, [&] {
    RowBlock<double> all(comm, rows, 1);
    std::copy_n(codes.begin() + all.first_row(), all.local_rows(), all.values().begin());
    return all;
  });
}

/// Throws InputError for an archive or another known format, by its name; other files that are not
/// HDF5 are left to the HDF5 library to refuse. Collective.
void expect_no_archive(const Spec& spec, const comm::Communicator& comm) {
  comm::together(comm, [&] {
    if (!comm.root()) return;
    require_file(spec.path, spec.path);
    char start[16] = {};
    std::ifstream file(spec.path, std::ios::binary);
    file.read(start, sizeof start);
    expect_known(spec.path, {start, static_cast<std::size_t>(file.gcount())}, true);
  });
}

/// Images are datasets of three or four dimensions.
ImageShape image_of_extents(const std::vector<Index>& extents) {
  if (extents.size() != 3 && extents.size() != 4) return {};
  return {extents[1], extents[2], extents.size() == 4 ? extents[3] : 1};
}

}  // namespace

ImageShape image_in_hdf5(const Spec& spec, const comm::Communicator& comm) {
  expect_no_archive(spec, comm);
  return image_of_extents(io::Hdf5File::open(comm, spec.path).extents(spec.dataset));
}

StoredSet read_hdf5(const Spec& spec, const Request& request, const Choice& choice,
                    const comm::Communicator& comm) {
  expect_no_archive(spec, comm);
  const auto file = io::Hdf5File::open(comm, spec.path);
  const auto extents = [&](const std::string& dataset) {
    auto shape = file.extents(dataset);
    if (shape.empty() || std::find(shape.begin(), shape.end(), 0) != shape.end())
      throw InputError("{}:{}: has no rows or no columns", spec.path, dataset);
    return shape;
  };
  const auto shape = extents(spec.dataset);
  const auto columns = [](const std::vector<Index>& s) {
    Index product = 1;
    for (std::size_t j = 1; j < s.size(); ++j) product *= s[j];
    return product;
  };
  StoredSet set;
  set.contents.rows = shape[0];
  set.contents.dimension = columns(shape);
  set.contents.image = image_of_extents(shape);
  const bool texts = !spec.targets.empty() && file.holds_texts(spec.targets);
  if (texts) {
    set.contents.outputs = 1;
  } else if (!spec.targets.empty()) {
    const auto target_shape = extents(spec.targets);
    set.contents.outputs = columns(target_shape);
    if (target_shape[0] != shape[0])
      throw InputError("{}:{} has {} rows, {} has {}: one target is needed for each", spec.path,
                       spec.dataset, shape[0], spec.targets, target_shape[0]);
  }
  expect_memory(spec, set.contents, choice, choice.limit < 0 ? 0 : shape[0], comm);
  const Roles roles = assign_roles(spec, shape[0], choice, comm);
  const bool whole = roles.sizes.size() == 1 && roles.sizes[0] == shape[0];
  expect_memory(spec, set.contents, roles, choice, whole ? 0 : shape[0], comm);
  set.parts.resize(roles.sizes.size());
  const auto give = [&](RowBlock<double> all, RowBlock<double> Part::*member) {
    if (whole) {
      set.parts[0].*member = std::move(all);
      return;
    }
    for (std::size_t part = 0; part < set.parts.size(); ++part)
      set.parts[part].*member = choose(all, roles, part, comm);
  };
  const auto read = [&](const std::string& dataset, bool nan) {
    if (dataset.empty())
      return comm::together(comm, [&] { return RowBlock<double>(comm, shape[0], 0); });
    auto all = file.read_rows<double>(dataset);
    expect_finite(all, spec.path, dataset, nan);
    return all;
  };
  give(read(spec.dataset, false), &Part::inputs);
  give(texts ? read_labels(file, spec, request, shape[0], set.contents, comm)
             : read(spec.targets, true),
       &Part::targets);
  for (std::size_t part = 0; part < set.parts.size(); ++part)
    set.parts[part].file_rows =
        file_rows(roles, part, set.parts[part].inputs.partition(), comm.rank());
  return set;
}

}  // namespace mercer::data
