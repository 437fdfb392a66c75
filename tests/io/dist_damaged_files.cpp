// Files that are damaged, edited, or hold what Mercer does not write.
#include <gtest/gtest.h>
#include <hdf5.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>

#include "mercer/base/error.hpp"
#include "mercer/io/checksum.hpp"
#include "mercer/io/hdf5.hpp"
#include "support/folder.hpp"

namespace mercer {
namespace {

namespace fs = std::filesystem;
using io::Hdf5File;
using io::Origin;

constexpr hsize_t kHuge = 6148914691236517206;  // 3 times this is 2 modulo 2^64

class DamagedFiles : public testing::Test {
 protected:
  void on_root(const std::function<void()>& call) {
    world.barrier();
    if (world.root()) call();
    world.barrier();
  }
  /// A file of Mercer's.
  void write() {
    auto file = Hdf5File::create(world, path);
    file.write("/x", std::vector<double>{1, 2, 3});
    file.write("/one", std::vector<double>{0.5});
    file.write("/bad", std::vector<double>{1, std::nan("")});
    file.attribute("/", "kernel", std::string("linear()"));
    file.attribute("/", "n", Index{7});
    file.attribute("/", "part", 2.5);
    file.finish();
  }
  /// Rank 0 edits the file, or starts one, with HDF5 itself.
  void edit(const std::function<void(hid_t)>& change, bool anew = false) {
    on_root([&] {
      const hid_t file = anew ? H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)
                              : H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
      ASSERT_GE(file, 0);
      change(file);
      H5Fclose(file);
    });
  }
  void sign() { io::write_checksum(world, path, path); }
  /// The error of `call`, the same on every rank; "" where there is none.
  std::string error(const std::function<void()>& call) {
    try {
      call();
    } catch (const InputError& e) {
      return e.what();
    }
    return "";
  }
  std::string open_error(Origin origin = Origin::anyone) {
    return error([&] { Hdf5File::open(world, path, origin); });
  }
  comm::Communicator world = comm::Communicator::world();
  test::TemporaryFolder folder;
  std::string place = folder.path(), path = folder / "a.h5";
};

/// A dataset of doubles of which nothing is stored; `layout` decides where it would lie.
void claim(hid_t file, const char* name, std::vector<hsize_t> extents, hid_t layout) {
  const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
  const hid_t data =
      H5Dcreate2(file, name, H5T_NATIVE_DOUBLE, space, H5P_DEFAULT, layout, H5P_DEFAULT);
  EXPECT_GE(data, 0) << name;
  H5Dclose(data);
  H5Sclose(space);
}

hid_t chunked(std::vector<hsize_t> chunk) {
  const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data());
  return layout;
}

TEST_F(DamagedFiles, HaveOneChecksumForAnyNumberOfRanks) {
  write();
  const auto whole = io::checksum_of_file(world, path, path);
  const auto alone = io::checksum_of_file(world.split(world.rank(), 0), path, path);
  EXPECT_EQ(whole, alone);
  EXPECT_EQ(whole.size, static_cast<Index>(fs::file_size(path)));
  std::string block(512, '\0');
  std::ifstream(path, std::ios::binary).read(block.data(), 512);
  EXPECT_EQ(block, io::checksum_block(whole));
  EXPECT_TRUE(Hdf5File::open(world, path, Origin::mercer).verified());
}

TEST_F(DamagedFiles, AreRefusedWhereverABitOfThemIsFlipped) {
  write();
  std::string bytes;
  {
    std::ifstream in(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  world.barrier();
  int refused = 0, tried = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 997, ++tried) {
    on_root([&] {
      auto damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      std::ofstream(path, std::ios::binary) << damaged;
    });
    const auto text = open_error();
    refused += text.starts_with(path + ": is damaged");
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
  EXPECT_EQ(refused, tried);
  EXPECT_GT(tried, 50);
  on_root([&] { std::ofstream(path, std::ios::binary) << bytes; });
  EXPECT_EQ(open_error(), "");
}

TEST_F(DamagedFiles, AreRefusedWhenCutShortLengthenedOrEdited) {
  write();
  const auto size = fs::file_size(path);
  for (const auto other : {std::uintmax_t{20}, std::uintmax_t{511}, std::uintmax_t{512}, size / 2,
                           size - 1, size + 1}) {
    write();
    on_root([&] { fs::resize_file(path, other); });
    EXPECT_TRUE(open_error().starts_with(path + ": is damaged")) << other << open_error();
  }
  write();
  edit([](hid_t file) { H5Ldelete(file, "/one", H5P_DEFAULT); });
  EXPECT_NE(open_error().find("is damaged or was changed after Mercer wrote it"),
            std::string::npos);
  sign();
  EXPECT_EQ(open_error(Origin::mercer), "");
}

TEST_F(DamagedFiles, OfOtherProgramsAreReadWhereTheyMayBe) {
  const auto contents = [](hid_t file) {
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    claim(file, "/x", {2, 3}, layout);
    H5Pclose(layout);
  };
  edit(contents, true);
  EXPECT_EQ(open_error(), "");
  EXPECT_FALSE(Hdf5File::open(world, path).verified());
  EXPECT_EQ(Hdf5File::open(world, path).extents("/x"), (std::vector<Index>{2, 3}));
  EXPECT_TRUE(open_error(Origin::mercer).starts_with(path + ": has no checksum"));
  // A user block of their own.
  on_root([&] {
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(creation, 512);
    const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, H5P_DEFAULT);
    contents(file);
    H5Fclose(file);
    H5Pclose(creation);
    std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << "MATLAB 7.3 MAT-file";
  });
  EXPECT_EQ(open_error(), "");
}

TEST_F(DamagedFiles, WhoseExtentsOverflowAreRefusedWithFileAndDataset) {
  edit(
      [](hid_t file) {
        const hid_t layout = chunked({1, 1, 8});
        claim(file, "/chunked", {4, 3, kHuge}, layout);
        H5Pclose(layout);
        const hid_t flat = chunked({8});
        claim(file, "/long", {hsize_t{1} << 62}, flat);
        H5Pclose(flat);
        const hid_t plain = H5Pcreate(H5P_DATASET_CREATE);
        claim(file, "/none", {0, kHuge, kHuge}, plain);
        H5Pclose(plain);
        const hid_t virtually = H5Pcreate(H5P_DATASET_CREATE);
        const hsize_t extents[] = {4, 3, kHuge}, source[] = {1, 1, 1};
        const hid_t space = H5Screate_simple(3, extents, nullptr);
        const hid_t from = H5Screate_simple(3, source, nullptr);
        const hsize_t start[] = {0, 0, 0};
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, source, nullptr);
        H5Pset_virtual(virtually, space, "other.h5", "/x", from);
        claim(file, "/virtual", {4, 3, kHuge}, virtually);
        H5Pclose(virtually);
        H5Sclose(space);
        H5Sclose(from);
      },
      true);
  const auto file = Hdf5File::open(world, path);
  for (const char* name : {"/chunked", "/long", "/none", "/virtual"}) {
    const auto expected = path + ": the dataset '" + name + "' claims ";
    for (const auto& text :
         {error([&] { file.extents(name); }), error([&] { file.read_vector(name); }),
          error([&] { file.read_rows<double>(name); }), error([&] { file.read_number(name); })})
      EXPECT_TRUE(text.starts_with(expected)) << name << ": " << text;
  }
}

TEST_F(DamagedFiles, OfMercerHoldWhatTheyClaimThemselves) {
  on_root([&] {  // a file beside it, with numbers to refer to
    const auto beside = place + "/beside.h5";
    const hid_t file = H5Fcreate(beside.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    claim(file, "/x", {3}, layout);
    H5Pclose(layout);
    H5Fclose(file);
    std::ofstream(place + "/raw") << std::string(24, '\0');
  });
  write();
  edit([&](hid_t file) {
    const hid_t unstored = chunked({8});
    claim(file, "/unstored", {1000}, unstored);
    H5Pclose(unstored);
    H5Lcreate_external("beside.h5", "/x", file, "/linked", H5P_DEFAULT, H5P_DEFAULT);
    const hid_t external = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(external, "raw", 0, 24);
    claim(file, "/external", {3}, external);
    H5Pclose(external);
    const hid_t virtually = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t extent = 3;
    const hid_t space = H5Screate_simple(1, &extent, nullptr);
    H5Pset_virtual(virtually, space, "beside.h5", "/x", space);
    claim(file, "/virtual", {3}, virtually);
    H5Pclose(virtually);
    H5Sclose(space);
  });
  sign();
  const auto file = Hdf5File::open(world, path, Origin::mercer);
  EXPECT_EQ(error([&] { file.read_vector("/unstored"); }),
            path + ": the dataset '/unstored' claims 8000 bytes, but holds 0");
  for (const char* name : {"/linked", "/external", "/virtual"})
    EXPECT_EQ(
        error([&] { file.read_vector(name); }),
        path + ": the dataset '" + name + "' lies in another file, but Mercer writes all into one");
  EXPECT_EQ(file.read_vector("/x"), (std::vector<double>{1, 2, 3}));
}

TEST_F(DamagedFiles, GiveNumbersOnlyWhereTheyAreWhatIsWanted) {
  write();
  const auto file = Hdf5File::open(world, path);
  const auto message = [&](const std::string& text) { return path + ": " + text; };
  EXPECT_EQ(file.read_number("/one"), 0.5);
  EXPECT_EQ(file.read_finite("/x", 3), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(error([&] { file.read_number("/x"); }),
            message("the dataset '/x' holds 3 numbers, 1 are wanted"));
  EXPECT_EQ(error([&] { file.read_finite("/x", 4); }),
            message("the dataset '/x' holds 3 numbers, 4 are wanted"));
  EXPECT_EQ(error([&] { file.read_finite("/bad", 2); }),
            message("/bad holds a NaN or an infinity"));
  EXPECT_EQ(error([&] { file.read_rows<double>("/x", 2, 1); }),
            message("the dataset '/x' is 3, 2 x 1 is wanted"));
  EXPECT_EQ(error([&] { file.read_rows<float>("/bad", 2, 1); }),
            message("/bad holds a NaN or an infinity"));
  EXPECT_EQ(file.count_attribute("/", "n", 0, 7), 7);
  EXPECT_EQ(error([&] { file.count_attribute("/", "n", 0, 6); }),
            message("the attribute 'n' of / is 7: a whole number in 0 ... 6 is wanted"));
  EXPECT_EQ(error([&] { file.count_attribute("/", "part", 0, 6); }),
            message("the attribute 'part' of / is 2.5: a whole number in 0 ... 6 is wanted"));
  for (const double value : {-1.0, std::nan(""), 1e300, -std::numeric_limits<double>::infinity()})
    EXPECT_NE(error([&] { io::whole_number(file, "it", value, 0, io::kMostCount); }), "");
}

}  // namespace
}  // namespace mercer
