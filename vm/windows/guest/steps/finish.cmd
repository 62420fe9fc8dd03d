@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Nothing of the set-up stays: no autologon, no password, no second key, and at last no Run value.
setlocal
set "LOGON=HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon"
reg add "%LOGON%" /v AutoAdminLogon /t REG_SZ /d 0 /f
if not %errorlevel%==0 goto :failed
call :forget "%LOGON%" DefaultPassword
if not %errorlevel%==0 goto :failed
call :forget "%LOGON%" AutoLogonCount
if not %errorlevel%==0 goto :failed
call :forget "%LOGON%" AutoLogonSID
if not %errorlevel%==0 goto :failed
rem Setup's copies of the answer file.
set "LEFT="
for %%f in ("%SystemRoot%\Panther\unattend.xml" "%SystemRoot%\Panther\Unattend\unattend.xml" "%SystemRoot%\System32\Sysprep\unattend.xml") do call :remove "%%~f"
for %%d in (ssh openssh) do call :remove_folder "%KSHS%\%%d"
if defined LEFT exit /b 5
call :forget HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run kshs
if not %errorlevel%==0 goto :failed
exit /b 0

:remove
if exist %1 del /f /q %1
if not exist %1 exit /b 0
echo %1 cannot be removed.
set "LEFT=1"
exit /b 0

:remove_folder
if exist "%~1\." rmdir /s /q %1
if not exist "%~1\." exit /b 0
echo %1 cannot be removed.
set "LEFT=1"
exit /b 0

rem %1 a key, %2 a value in it, which need not be there.
:forget
reg query %1 /v %2 >nul 2>&1
if errorlevel 1 exit /b 0
reg delete %1 /v %2 /f
exit /b %errorlevel%

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
