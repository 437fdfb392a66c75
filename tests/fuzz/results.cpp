// Mercer's own files, with contents that were edited and signed again: models, spectra, kernels,
// weights and checkpoints of the three kinds. The files to edit are named on the command line;
// which kind one is, its contents tell. Every kind is read by what reads it in the drivers, and
// used.
#include <hdf5.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

#include "fuzz.hpp"
#include "mercer/base/error.hpp"
#include "mercer/gram/kernel_operator.hpp"
#include "mercer/gram/source.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/hdf5.hpp"
#include "mercer/jobs/model.hpp"
#include "mercer/krr/cg_file.hpp"
#include "mercer/krr/conjugate_gradients.hpp"
#include "mercer/net/network.hpp"
#include "mercer/net/parameters.hpp"
#include "mercer/spectral/krylov.hpp"
#include "mercer/spectral/krylov_file.hpp"
#include "mercer/spectral/stored.hpp"
#include "mercer/train/checkpoint.hpp"

namespace mercer::fuzz {
namespace {

struct Base {
  std::string path, bytes;
  std::vector<std::string> datasets;                            // of all groups
  std::vector<std::pair<std::string, std::string>> attributes;  // object, name
};
std::vector<Base> bases;

herr_t note_attribute(hid_t, const char* name, const H5A_info_t*, void* into) {
  auto& [base, object] = *static_cast<std::pair<Base*, std::string>*>(into);
  base->attributes.emplace_back(object, name);
  return 0;
}

herr_t note_object(hid_t file, const char* name, const H5O_info_t* info, void* into) {
  auto& base = *static_cast<Base*>(into);
  const std::string object = std::string("/") + (std::string(name) == "." ? "" : name);
  if (info->type == H5O_TYPE_DATASET) base.datasets.push_back(object);
  const hid_t id = H5Oopen(file, name, H5P_DEFAULT);
  std::pair<Base*, std::string> place{&base, object};
  H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_INC, nullptr, note_attribute, &place);
  H5Oclose(id);
  return 0;
}

Base read_base(const std::string& path) {
  Base base{.path = path, .bytes = {}, .datasets = {}, .attributes = {}};
  std::ifstream file(path, std::ios::binary);
  base.bytes.assign(std::istreambuf_iterator<char>(file), {});
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  H5Ovisit(id, H5_INDEX_NAME, H5_ITER_NATIVE, note_object, &base);
  H5Fclose(id);
  return base;
}

/// A numeric dataset with one element another.
void change_number(hid_t file, const std::string& name, Input& input) {
  const hid_t data = H5Dopen2(file, name.c_str(), H5P_DEFAULT), type = H5Dget_type(data),
              space = H5Dget_space(data);
  const auto count = H5Sget_simple_extent_npoints(space);
  if (H5Tget_class(type) == H5T_STRING) {
    std::string texts(static_cast<std::size_t>(count) * H5Tget_size(type) + 1, '\0');
    if (H5Tis_variable_str(type) <= 0 &&
        H5Dread(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data()) >= 0 && count > 0) {
      const auto text = input.text(40);
      texts.replace(input.below(texts.size()), std::min(text.size(), texts.size() - 1), text);
      H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts.data());
    }
  } else if (count > 0 && count < 1'000'000) {
    std::vector<double> values(static_cast<std::size_t>(count));
    if (H5Dread(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0) {
      for (auto times = 1 + input.below(3); times > 0; --times)
        values[(input.byte() * 256u + input.byte()) % values.size()] = input.number();
      H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    }
  }
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(data);
}

/// A dataset of other extents, type or layout in its place.
void change_shape(hid_t file, const std::string& name, Input& input) {
  constexpr hsize_t kHard[] = {
      0, 1, 2, 3, 4, 5, 9, 16, 39, 40, 41, 64, hsize_t{1} << 31, hsize_t{1} << 61};
  std::vector<hsize_t> extents(input.below(4));
  double elements = 1;
  for (auto& extent : extents)
    extent = kHard[input.below(std::size(kHard))], elements *= static_cast<double>(extent);
  const hid_t types[] = {H5T_NATIVE_DOUBLE, H5T_NATIVE_FLOAT, H5T_NATIVE_INT8, H5T_NATIVE_UINT64};
  const hid_t type = types[input.below(std::size(types))];
  const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
  if (elements > 1e6) {  // nothing of it is stored
    const std::vector<hsize_t> chunk(extents.size(), 1);
    H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data());
  }
  const double value = input.number();
  H5Pset_fill_value(layout, H5T_NATIVE_DOUBLE, &value);
  const hid_t space =
      extents.empty() ? H5Screate(H5S_SCALAR)
                      : H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
  H5Ldelete(file, name.c_str(), H5P_DEFAULT);
  const hid_t data = H5Dcreate2(file, name.c_str(), type, space, H5P_DEFAULT, layout, H5P_DEFAULT);
  if (data >= 0) H5Dclose(data);
  H5Sclose(space);
  H5Pclose(layout);
}

void change_attribute(hid_t file, const std::string& object, const std::string& name,
                      Input& input) {
  const auto how = input.below(4);
  const double number = input.number();
  const std::string text = input.text(60);
  H5Adelete_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT);
  if (how == 0) return;
  const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
  if (how == 1 && !text.empty()) {
    H5Tset_size(type, text.size());
    H5Tset_strpad(type, H5T_STR_NULLPAD);
  }
  const bool as_text = how == 1 && !text.empty();
  const hid_t of = as_text ? type : how == 2 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
  const hid_t attribute = H5Acreate_by_name(file, object.c_str(), name.c_str(), of, space,
                                            H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (attribute >= 0) {
    if (as_text)
      H5Awrite(attribute, type, text.data());
    else
      H5Awrite(attribute, H5T_NATIVE_DOUBLE, &number);
    H5Aclose(attribute);
  }
  H5Tclose(type);
  H5Sclose(space);
}

void edit(const Base& base, const std::string& path, Input& input) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  for (int times = 0; times < 4 && !input.empty(); ++times) {
    const auto op = input.below(6);
    if (op < 4 && base.datasets.empty()) continue;
    const auto name = [&] { return base.datasets[input.below(base.datasets.size())]; };
    const std::string first = op < 4 ? name() : "";
    const auto there = [&](const std::string& dataset) {
      return H5Lexists(file, dataset.c_str(), H5P_DEFAULT) > 0;
    };
    if (op < 4 && !there(first)) continue;
    if (op == 0) {
      change_number(file, first, input);
    } else if (op == 1) {
      change_shape(file, first, input);
    } else if (op == 2) {
      H5Ldelete(file, first.c_str(), H5P_DEFAULT);
    } else if (op == 3) {
      const auto second = name();
      if (second == first || !there(second)) continue;
      H5Ldelete(file, second.c_str(), H5P_DEFAULT);
      H5Ocopy(file, first.c_str(), file, second.c_str(), H5P_DEFAULT, H5P_DEFAULT);
    } else if (!base.attributes.empty()) {
      const auto& [object, attribute] =
          base.attributes[(input.byte() * 256u + input.byte()) % base.attributes.size()];
      if (object == "/" || there(object)) change_attribute(file, object, attribute, input);
    }
  }
  H5Fclose(file);
}

const comm::Communicator& world() {
  static const auto all = comm::Communicator::world();
  return all;
}

dist::DistMatrix<double> some_matrix(const dist::ProcessGrid& grid, Index n) {
  dist::DistMatrix<double> K(grid, n, n, 16);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j)
      K.local()(i, j) = (i == j ? 1.0 : 0.0) + 1.0 / static_cast<double>(1 + std::abs(i - j));
  return K;
}

void use_model(const io::Hdf5File& file) {
  const auto model = jobs::read_model(file);
  const auto& p = model.preparation;
  data::Options options{.memory_limit = 1e7};
  static const std::string rows = as_file("0.5,1,-2\n1,2,3\n-1,0,4\n", ".rows.csv");
  const auto test = data::load_test("csv:" + rows, p, options, world());
  jobs::Monitor monitor;
  if (!model.refers() && !model.kernel.is_stored()) jobs::predict(model, test, monitor);
  dist::RowBlock<double> predictions(world(), 3, std::max<Index>(1, p.outputs));
  std::ranges::fill(predictions.values(), 0.5);
  data::to_target_units(p.standardization, predictions);
}

void use_krylov(const io::Hdf5File& file) {
  const Index n = 40;
  auto state = spectral::read_krylov_state(file, n);
  const dist::ProcessGrid grid(world(), {1, 1});
  const auto K = some_matrix(grid, n);
  spectral::krylov(gram::MatrixOperator<double>(K),
                   {.top = 4, .max_products = state.products + 100, .resume = &state});
}

void use_cg(const io::Hdf5File& file) {
  const Index n = 40;
  const auto state = krr::read_cg_state(file, n, 1);
  const dist::ProcessGrid grid(world(), {1, 1});
  const auto K = some_matrix(grid, n);
  const Matrix<double> B(n, 1, 1.0);
  krr::conjugate_gradients(gram::MatrixOperator<double>(K), 0.1, {}, B.view(),
                           {.max_iterations = state.iterations + 5, .resume = &state});
}

void use_descent(const io::Hdf5File& file, const Base& base) {
  static std::map<std::string, io::Identity> identities;  // of the files as they were
  auto& identity = identities[base.path];
  if (identity.empty()) {
    const auto whole = io::Hdf5File::open(world(), base.path, io::Origin::mercer);
    const auto names = whole.text_attribute("/", "checkpoint_identity");
    for (std::size_t at = 0; at < names.size(); at = names.find('\n', at) + 1) {
      const auto name = names.substr(at, names.find('\n', at) - at);
      identity.emplace_back(name, whole.text_attribute("/", name));
    }
  }
  std::vector<train::RowSet<double>> sets(1);
  sets[0].n = 40;
  sets[0].X = Matrix<double>(3, 40);
  sets[0].Y = Matrix<double>(1, 40);
  train::State<double> state;
  const net::Network network(arch::parse("dense(4) relu dense(1)"), 3, net::Parametrization::ntk,
                             net::Start::antisymmetric);
  train::read_checkpoint(world(), file.path(), identity, network, state, sets);
}

void use_spectrum(const io::Hdf5File& file, const dist::ProcessGrid& grid) {
  const auto hash = file.text_attribute("/", "data_hash");
  spectral::read<double>(file,
                         {.kernel = file.text_attribute("/", "kernel"),
                          .n = 40,
                          .data_hash = std::strtoull(hash.c_str(), nullptr, 16)},
                         grid, 16);
}

void use_weights(const io::Hdf5File& file) {
  const auto stored = net::read_network(file);
  const auto& w = stored.parameters;
  const Index d = stored.network.inputs(), c = stored.network.outputs();
  if (d > 1000 || c > 1000) return;
  const Matrix<double> X(d, 2, 0.5);
  Matrix<double> F(c, 2);
  net::Evaluator<double>(stored.network, 2).outputs(w, X.view(), F.view());
}

void use(const io::Hdf5File& file, const Base& base) {
  const auto has = [&](const std::string& start) {
    for (const auto& name : base.datasets)
      if (name.starts_with(start)) return true;
    return false;
  };
  const dist::ProcessGrid grid(world(), {1, 1});
  if (has("/krylov/"))
    use_krylov(file);
  else if (has("/cg/"))
    use_cg(file);
  else if (has("/state/"))
    use_descent(file, base);
  else if (has("/alpha"))
    use_model(file);
  else if (has("/eigenvalues"))
    use_spectrum(file, grid);
  else if (has("/parameters"))
    use_weights(file);
  else
    gram::assemble<double>(gram::Source::stored(file.path()),
                           dist::RowBlock<double>(world(), 40, 0), grid, {.nb = 16});
}

}  // namespace

void try_input(Input input) {
  const Base& base = bases[input.below(bases.size())];
  const bool only_bytes = input.below(4) == 0;
  std::string bytes = base.bytes;
  // Beside it lies what it refers to (S of a checkpoint).
  const auto path = base.path + ".fuzzed.h5";
  if (only_bytes)
    for (int times = 0; times < 3; ++times) {
      const std::size_t at = (input.byte() << 16 | input.byte() << 8 | input.byte()) % bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << input.below(8)));
    }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  if (!only_bytes) {
    edit(base, path, input);
    io::write_checksum(world(), path, path);
  }
  const auto file = io::Hdf5File::open(world(), path, io::Origin::mercer);
  if (only_bytes && bytes != base.bytes) std::abort();  // a damage that was not found
  use(file, base);
}

std::vector<std::string> seeds(const std::vector<std::string>& files) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  std::vector<std::string> result;
  for (const auto& file : files) bases.push_back(read_base(file));
  for (std::size_t f = 0; f < files.size(); ++f)
    for (char op = 0; op < 6; ++op)
      for (char which = 0; which < 24; ++which)
        result.push_back(
            std::string{static_cast<char>(f), 1, op, which, 3, 1, 7, 2, 11, 0, 5, 9, 1, 4, 12});
  return result;
}

}  // namespace mercer::fuzz
