@echo off
rem SPDX-License-Identifier: Apache-2.0
rem The OpenSSH server: in the system already, or from the package on the CD.
setlocal
set "REBOOT=0"
sc query sshd >nul 2>&1
if not errorlevel 1 goto :start
if exist "%KSHS%\openssh\OpenSSH.msi" goto :msi
if exist "%KSHS%\openssh\OpenSSH.cab" goto :cab
if exist "%KSHS%\openssh\OpenSSH.zip" goto :zip
echo This system has no service sshd, and the CD no OpenSSH package: provision again with --openssh FILE.
exit /b 1060

:msi
msiexec /i "%KSHS%\openssh\OpenSSH.msi" /qn /norestart /l*v "%KSHS%\state\openssh-msi.log" ADDLOCAL=Server
goto :installed

:cab
dism /online /quiet /norestart /add-package /packagepath:"%KSHS%\openssh\OpenSSH.cab"
goto :installed

:zip
rem tar is bsdtar, in the system since Windows 10 1803, and reads zip files.
set "UNPACKED=%ProgramFiles%\OpenSSH-unpacked"
if not exist "%UNPACKED%\." mkdir "%UNPACKED%"
tar -xf "%KSHS%\openssh\OpenSSH.zip" -C "%UNPACKED%"
if not %errorlevel%==0 goto :failed
set "SSHD="
if exist "%UNPACKED%\sshd.exe" set "SSHD=%UNPACKED%\sshd.exe"
pushd "%UNPACKED%"
for /d %%d in (*) do if exist "%%d\sshd.exe" set "SSHD=%UNPACKED%\%%d\sshd.exe"
popd
if not defined SSHD (
    echo There is no sshd.exe in the OpenSSH package.
    exit /b 2
)
sc create sshd binPath= "\"%SSHD%\"" start= auto DisplayName= "OpenSSH SSH Server"
if not %errorlevel%==0 goto :failed
goto :start

:installed
set "CODE=%errorlevel%"
rem 3010: done, and a reboot is needed; 1641 does not come with /norestart.
if "%CODE%"=="3010" set "REBOOT=3010"
if "%CODE%"=="3010" set "CODE=0"
if not "%CODE%"=="0" exit /b %CODE%
sc query sshd >nul 2>&1
if not errorlevel 1 goto :start
if "%REBOOT%"=="3010" exit /b 3010
echo The OpenSSH package was installed, and there is still no service sshd.
exit /b 1060

:start
rem After a reboot that the installation wants it starts by itself.
"%KSHSCTL%" start-service sshd
if not errorlevel 1 exit /b %REBOOT%
if "%REBOOT%"=="3010" exit /b 3010
exit /b 1

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
