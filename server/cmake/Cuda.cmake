# Ends in two targets, for PREFSCORE_CUDA=ON:
#   prefscore::cudart      headers and library of the CUDA runtime: what the kernels and their callers need
#   prefscore::torch_cuda  the CUDA half of the torch wheel, with the runtime
# and the language CUDA. The compiler is that of scripts/setup --cuda, or the nvcc on PATH.

file(GLOB wheel_nvcc ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu13/bin/nvcc)
find_program(PREFSCORE_NVCC NAMES ${wheel_nvcc} nvcc PATHS /usr/local/cuda/bin)
if(NOT PREFSCORE_NVCC)
  message(FATAL_ERROR "PREFSCORE_CUDA=ON needs nvcc: run scripts/setup --cuda, or put nvcc 13 on PATH")
endif()
get_filename_component(cuda_root ${PREFSCORE_NVCC} REALPATH)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)

# The runtime that the wheel was built with: two runtimes in one process would not share contexts' state.
set(wheel_cuda ${PREFSCORE_TORCH_DIR}/../nvidia/cu13)
find_file(PREFSCORE_CUDART NAMES libcudart.so.13 NO_DEFAULT_PATH
  PATHS ${wheel_cuda}/lib ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/targets/x86_64-linux/lib)
find_path(PREFSCORE_CUDA_INCLUDE NAMES cuda_runtime_api.h NO_DEFAULT_PATH
  PATHS ${wheel_cuda}/include ${cuda_root}/include ${cuda_root}/targets/x86_64-linux/include)
if(NOT PREFSCORE_CUDART OR NOT PREFSCORE_CUDA_INCLUDE)
  message(FATAL_ERROR "No CUDA 13 runtime (libcudart.so.13, cuda_runtime_api.h) in ${wheel_cuda} or ${cuda_root}")
endif()

set(CMAKE_CUDA_COMPILER ${PREFSCORE_NVCC})
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures; 90 is H100 and H200")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # prefscore::cudart
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -lineinfo -DNDEBUG")
if(CCACHE_PROGRAM)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
# CMake's probe of the compiler links a program: the wheel keeps its libraries in lib/, where nvcc looks in lib64/.
set(ENV{LIBRARY_PATH} "${wheel_cuda}/lib:$ENV{LIBRARY_PATH}")
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "${PREFSCORE_NVCC} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}; the torch wheel is built for CUDA 13")
endif()
foreach(dialect STANDARD EXTENSION)  # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_${dialect}_COMPILE_OPTION "-std=c++20")
endforeach()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

add_library(prefscore_cudart SHARED IMPORTED GLOBAL)
add_library(prefscore::cudart ALIAS prefscore_cudart)
set_target_properties(prefscore_cudart PROPERTIES
  IMPORTED_LOCATION ${PREFSCORE_CUDART}
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${PREFSCORE_CUDA_INCLUDE}
  INTERFACE_INCLUDE_DIRECTORIES ${PREFSCORE_CUDA_INCLUDE})

# Nothing of ours names a symbol of libtorch_cuda.so: it registers its operators when it is loaded, so the linker must
# keep it. Its own CUDA libraries may be absent where this is linked.
add_library(prefscore_torch_cuda INTERFACE)
add_library(prefscore::torch_cuda ALIAS prefscore_torch_cuda)
target_link_libraries(prefscore_torch_cuda INTERFACE prefscore_torch prefscore_cudart)
target_link_options(prefscore_torch_cuda INTERFACE
  -Wl,--no-as-needed,${PREFSCORE_TORCH_DIR}/lib/libtorch_cuda.so,${PREFSCORE_TORCH_DIR}/lib/libc10_cuda.so
  -Wl,--as-needed,--allow-shlib-undefined)
